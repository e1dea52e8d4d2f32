#include "ops/softmax/softmax_cuda.h"

#include "ops/rows/row_plan_cuda.h"

namespace demi::gpu_kernels {
namespace {

constexpr float kSmall = 0x1p-100f;  // what dy is multiplied with where its sums leave the range

template <class T, class Plan> struct RowKernel {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = Plan::kBlock;
    SoftmaxCall p;
    bool aligned;

    DEMI_DEVICE Row<T, Plan> row(const void* data, int64_t r) const {
        return Row<T, Plan>(static_cast<const T*>(data) + r * p.width, p.width, aligned);
    }
    // result = fn(x) for every element of row r.
    template <class F> DEMI_DEVICE void write(const Row<T, Plan>& x, int64_t r, F&& fn) const {
        T* out = static_cast<T*>(p.y) + r * p.width;
        Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
            Values<T> v = x.values(k, at, count);
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) v.v[i] = fn(v.v[i]);
            write_values(out + at, v, count, aligned);
        });
    }
    // result = fn(y, dy).
    template <class F>
    DEMI_DEVICE void write(const Row<T, Plan>& y, const Row<T, Plan>& dy, int64_t r, F&& fn) const {
        T* out = static_cast<T*>(p.y) + r * p.width;
        Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
            const Values<T> a = y.values(k, at, count);
            Values<T> b = dy.values(k, at, count);
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) b.v[i] = fn(a.v[i], b.v[i]);
            write_values(out + at, b, count, aligned);
        });
    }
    DEMI_DEVICE C top(const Row<T, Plan>& x) const {
        C top = -gpu::infinity();
        x.each(p.width, [&](C v) { top = v > top ? v : top; });
        return Plan::max(top);
    }
    // Nothing but -inf. The maximum alone may have lost a NaN.
    DEMI_DEVICE bool all_masked(const Row<T, Plan>& x, C top) const {
        if (top != -gpu::infinity()) return false;
        C others = 0;
        x.each(p.width, [&](C v) { others += v == -gpu::infinity() ? C(0) : C(1); });
        return Plan::sum(others) == 0;
    }
};

template <class T, class Plan> struct Forward : RowKernel<T, Plan> {
    typedef gpu::compute_t<T> C;
    using Base = RowKernel<T, Plan>;
    using Base::p;

    DEMI_DEVICE void operator()() const {
        for (int64_t r = Plan::first_row(); r < p.rows; r += Plan::row_step()) {
            const Row<T, Plan> x = this->row(p.x, r);
            const C top = this->top(x);
            const bool masked = this->all_masked(x, top);
            C sum = 0;
            x.each(p.width, [&](C v) { sum += gpu::exp(v - top); });
            sum = Plan::sum(sum);
            const C scale = masked ? C(0) : 1 / sum;
            this->write(x, r, [&](C v) { return masked ? C(0) : gpu::exp(v - top) * scale; });
        }
    }
};

template <class T, class Plan> struct Backward : RowKernel<T, Plan> {
    typedef gpu::compute_t<T> C;
    using Base = RowKernel<T, Plan>;
    using Base::p;

    DEMI_DEVICE void operator()() const {
        for (int64_t r = Plan::first_row(); r < p.rows; r += Plan::row_step()) {
            const Row<T, Plan> y = this->row(p.x, r), dy = this->row(p.dy, r);
            const auto dot_with = [&](C small) {
                C dot = 0;
                Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
                    const Values<T> a = y.values(k, at, count), b = dy.values(k, at, count);
                    DEMI_UNROLL
                    for (int i = 0; i < kPack<T>; ++i)
                        if (i < count) dot += a.v[i] * (b.v[i] * small);
                });
                return Plan::sum(dot);
            };
            C small = 1, dot = dot_with(small);
            if (!gpu::is_finite(dot)) dot = dot_with(small = kSmall);
            const C back = 1 / small;
            this->write(y, dy, r, [&](C a, C b) {
                const C d = a * (b * small - dot);
                return (gpu::is_finite(d) ? d : a * (b * small / 4 - dot / 4) * 4) * back;
            });
        }
    }
};

template <class T, class Plan> struct LogForward : RowKernel<T, Plan> {
    typedef gpu::compute_t<T> C;
    using Base = RowKernel<T, Plan>;
    using Base::p;

    DEMI_DEVICE void operator()() const {
        for (int64_t r = Plan::first_row(); r < p.rows; r += Plan::row_step()) {
            const Row<T, Plan> x = this->row(p.x, r);
            const C top = this->top(x);
            const bool masked = this->all_masked(x, top);
            C sum = 0;
            x.each(p.width, [&](C v) { sum += gpu::exp(v - top); });
            const C shift = gpu::log(Plan::sum(sum));
            this->write(x, r, [&](C v) { return masked ? C(-gpu::infinity()) : (v - top) - shift; });
        }
    }
};

template <class T, class Plan> struct LogBackward : RowKernel<T, Plan> {
    typedef gpu::compute_t<T> C;
    using Base = RowKernel<T, Plan>;
    using Base::p;

    DEMI_DEVICE void operator()() const {
        for (int64_t r = Plan::first_row(); r < p.rows; r += Plan::row_step()) {
            const Row<T, Plan> y = this->row(p.x, r), dy = this->row(p.dy, r);
            const bool masked = this->all_masked(y, this->top(y));
            const auto sum_with = [&](C small) {
                C sum = 0;
                dy.each(p.width, [&](C v) { sum += v * small; });
                return Plan::sum(sum);
            };
            C small = 1, sum = sum_with(small);
            if (!gpu::is_finite(sum)) sum = sum_with(small = kSmall);
            const C back = 1 / small;
            this->write(y, dy, r, [&](C a, C b) {
                return masked ? C(0) : gpu::fma(-gpu::exp(a), sum, b * small) * back;
            });
        }
    }
};

template <template <class, class> class Kernel>
void launch(DType type, const SoftmaxCall& call, gpu::Stream stream) {
    with_rows(type, call.width, [&](auto tag, auto plan) {
        typedef gpu::tag_t<decltype(tag)> T;
        typedef decltype(plan) Plan;
        Kernel<T, Plan> kernel;
        kernel.p = call;
        kernel.aligned = call.width % kPack<T> == 0 && all_aligned(call.x, call.dy, call.y);
        launch_rows(kernel, plan, call.rows, Plan::template shared_bytes<gpu::compute_t<T>>(), stream);
    });
}

}  // namespace

void softmax_forward(DType type, const SoftmaxCall& call, gpu::Stream stream) {
    launch<Forward>(type, call, stream);
}
void softmax_backward(DType type, const SoftmaxCall& call, gpu::Stream stream) {
    launch<Backward>(type, call, stream);
}
void log_softmax_forward(DType type, const SoftmaxCall& call, gpu::Stream stream) {
    launch<LogForward>(type, call, stream);
}
void log_softmax_backward(DType type, const SoftmaxCall& call, gpu::Stream stream) {
    launch<LogBackward>(type, call, stream);
}

}  // namespace demi::gpu_kernels
