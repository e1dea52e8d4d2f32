#include <array>

#include "ops/common/isa_index.h"
#include "ops/common/row_sums.h"
#include "ops/layernorm/layernorm_f64.h"
#include "ops/layernorm/layernorm_isa.h"
#include "ops/layernorm/layernorm_kernels.h"
#include "runtime/copy.h"
#include "runtime/isa.h"

namespace demi {

DEMI_ISA_TABLE(LayernormIsa, layernorm_isa)

namespace {

// The parameter's memory, or a constant in its place.
template <class T>
const T* parameter(const Tensor& tensor, T value, int64_t width, std::vector<T>& constant) {
    if (tensor.defined()) return tensor.data<T>();
    constant.assign(static_cast<size_t>(width), value);
    return constant.data();
}

template <class T> void forward_as(LayernormForward& c) {
    const int64_t width = c.x.shape().back(), rows = c.x.numel() / width;
    std::vector<T> ones, zeros;
    const T* weight = parameter<T>(c.weight, 1, width, ones);
    const T* bias = parameter<T>(c.bias, 0, width, zeros);
    const RowPointer x(c.x, width), residual(c.residual, width);
    const MutableRowPointer sum(c.sum, width), y(c.y, width);
    T* stats = c.stats.mutable_data<T>();
    parallel_rows(rows, width, [&](int64_t r, int64_t count) {
        if constexpr (std::is_same_v<T, double>)
            layernorm_forward_f64(x.at<double>(r), residual.at<double>(r), weight, bias, sum.at<double>(r),
                                  y.at<double>(r), stats + 4 * r, count, width, c.eps);
        else
            layernorm_isa().forward[isa_index(c.x.dtype(), "layernorm")](x[r], residual[r], weight, bias,
                                                                         sum[r], y[r], stats + 4 * r, count,
                                                                         width, static_cast<float>(c.eps));
    });
}

template <class T> void backward_as(LayernormBackward& c) {
    const int64_t width = c.x.shape().back(), rows = c.x.numel() / width;
    std::vector<T> ones;
    const T* weight = parameter<T>(c.weight, 1, width, ones);
    const RowPointer x(c.x, width), dy(c.dy, width), dsum(c.dsum, width);
    const MutableRowPointer dx(c.dx, width);
    const T* stats = c.stats.data<T>();
    const auto run = [&](int64_t r, int64_t count, T* dweight, T* dbias) {
        if constexpr (std::is_same_v<T, double>)
            layernorm_backward_f64(x.at<double>(r), dy.at<double>(r), dsum.at<double>(r), weight,
                                   stats + 4 * r, dx.at<double>(r), dweight, dbias, count, width);
        else
            layernorm_isa().backward[isa_index(c.x.dtype(), "layernorm")](
                x[r], dy[r], dsum[r], weight, stats + 4 * r, dx[r], dweight, dbias, count, width);
    };
    if (!c.dweight.defined()) {
        parallel_rows(rows, width, [&](int64_t r, int64_t count) { run(r, count, nullptr, nullptr); });
        return;
    }
    const std::array<T*, 2> outs{c.dweight.mutable_data<T>(), c.dbias.mutable_data<T>()};
    sum_rows(RowBlocks{rows, width}, outs, [&](int64_t r, int64_t count, const std::array<T*, 2>& sums) {
        run(r, count, sums[0], sums[1]);
    });
}

// y in f32, then rounded: the same bits as one rounding.
void forward(LayernormForward& call) {
    Tensor y = call.y;
    if (y.dtype() != call.x.dtype()) call.y = Tensor::like(call.x);
    call.x.dtype() == DType::f64 ? forward_as<double>(call) : forward_as<float>(call);
    if (y.dtype() == call.x.dtype()) return;
    copy(y, call.y);
    call.y = y;
}
void backward(LayernormBackward& call) {
    call.dy = call.dy.to(call.x.dtype());
    call.x.dtype() == DType::f64 ? backward_as<double>(call) : backward_as<float>(call);
}

}  // namespace

const LayernormKernels layernorm_cpu{.forward = forward, .backward = backward};

}  // namespace demi
