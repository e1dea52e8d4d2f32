#include "ops/reduce/sums.h"

#include "ops/elementwise/elementwise.h"
#include "ops/reduce/reduce_kernels.h"

namespace demi {
namespace {

static_assert(kMaxSumGroups == Shape::kMaxRank);

// Fills the groups; false where neighbours of one kind could not be merged because x or y is not evenly strided there.
bool group(ReduceSum& call, const Shape& out, const Tensor& x, const Tensor& y) {
    bool merged = true;
    call.group_count = 0;
    for (int d = 0; d < x.rank(); ++d) {
        const int64_t size = x.shape()[d];
        if (size == 1) continue;
        const SumGroup own{size, x.strides()[d], y.defined() ? y.strides()[d] : 0, out[d] == 1};
        SumGroup* last = call.group_count > 0 ? &call.groups[call.group_count - 1] : nullptr;
        const bool same = last != nullptr && last->reduced == own.reduced;
        if (same && last->x_step == own.x_step * size && last->y_step == own.y_step * size) {
            *last = {last->size * size, own.x_step, own.y_step, own.reduced};
        } else {
            merged = merged && !same;
            call.groups[call.group_count++] = own;
        }
    }
    return merged;
}

// x and y have one shape and out x's rank.
void sum_groups(Tensor& out, Tensor x, Tensor y, double scale) {
    ReduceSum call{};
    if (!group(call, out.shape(), x, y) && x.device().is_cpu()) {
        x = x.contiguous();
        if (y.defined()) y = y.contiguous();
        group(call, out.shape(), x, y);
    }
    call.x = reads(x);
    call.y = reads(y);
    call.out = writes(out);
    call.out_count = out.numel();
    call.scale = scale;
    reduce_on(out.device()).sum(call, queue_of(out));
}

Tensor reduce_sum(const Tensor& x, const Tensor& y, const Shape& shape, DType dtype, double scale) {
    Shape padded = shape;
    while (padded.rank() < x.rank()) padded.insert(0, 1);
    check(broadcast(padded, x.shape(), "sum") == x.shape(), "sum", "cannot sum ", x.shape(), " to ", shape);
    const bool in_f64 =
        dtype == DType::f64 || x.dtype() == DType::f64 || (y.defined() && y.dtype() == DType::f64);
    Tensor out = Tensor::empty(padded, in_f64 ? DType::f64 : dtype, x.device());
    if (out.numel() > 0 && x.numel() > 0) {
        sum_groups(out, x, y, scale);
    } else {
        out = Tensor::zeros(padded, dtype, x.device());  // the sum of nothing
    }
    return out.to(dtype).view(shape);
}

}  // namespace

Tensor sum_to(const Tensor& x, const Shape& shape, DType dtype, double scale) {
    if (x.shape() == shape && scale == 1) return x.to(dtype);
    return reduce_sum(x, Tensor(), shape, dtype, scale);
}

Tensor sum_product_to(const Tensor& x, const Tensor& y, const Shape& shape, DType dtype) {
    const Shape full = broadcast(x.shape(), y.shape(), "sum");
    if (full == shape) return elementwise("mul", ElementFn::mul, {x, y}, dtype);
    return reduce_sum(x.expand(full), y.expand(full), shape, dtype, 1);
}

Tensor elementwise_to(std::string_view op, ElementFn fn, std::initializer_list<Tensor> operands,
                      const Shape& shape, DType dtype) {
    Shape full = operands.begin()->shape();
    bool in_f64 = dtype == DType::f64;
    for (const Tensor& t : operands) {
        full = broadcast(full, t.shape(), op);
        in_f64 = in_f64 || t.dtype() == DType::f64;
    }
    if (full == shape) return elementwise(op, fn, operands, dtype);
    return sum_to(elementwise(op, fn, operands, in_f64 ? DType::f64 : DType::f32), shape, dtype);
}

}  // namespace demi
