#include "ops/softmax/softmax_kernels.h"

#include "ops/rows/rows_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr float kSmall = 0x1p-100f;  // what dy is multiplied with where its sums leave the range

template <class T, class Plan, class Call> struct RowKernel {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = Plan::kBlock;
    Call p;
    bool aligned;

    DEMI_DEVICE Row<T, Plan> read(ConstMem m, int64_t r) const {
        return Row<T, Plan>(row<T>(m, r, p.width), p.width, aligned);
    }
    // y = fn(x) for every element of row r.
    template <class F> DEMI_DEVICE void write(const Row<T, Plan>& x, int64_t r, F&& fn) const {
        T* out = row<T>(p.y, r, p.width);
        Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
            Values<T> v = x.values(k, at, count);
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) v.v[i] = fn(v.v[i]);
            write_values(out + at, v, count, aligned);
        });
    }
    // dx = fn(y, dy).
    template <class F>
    DEMI_DEVICE void write(const Row<T, Plan>& y, const Row<T, Plan>& dy, int64_t r, F&& fn) const {
        T* out = row<T>(p.dx, r, p.width);
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

template <class T, class Plan> struct Forward : RowKernel<T, Plan, SoftmaxForward> {
    typedef gpu::compute_t<T> C;
    using Base = RowKernel<T, Plan, SoftmaxForward>;
    using Base::p;

    DEMI_DEVICE void operator()() const {
        for (int64_t r = Plan::first_row(); r < p.rows; r += Plan::row_step()) {
            const Row<T, Plan> x = this->read(p.x, r);
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

template <class T, class Plan> struct Backward : RowKernel<T, Plan, SoftmaxBackward> {
    typedef gpu::compute_t<T> C;
    using Base = RowKernel<T, Plan, SoftmaxBackward>;
    using Base::p;

    DEMI_DEVICE void operator()() const {
        for (int64_t r = Plan::first_row(); r < p.rows; r += Plan::row_step()) {
            const Row<T, Plan> y = this->read(p.y, r), dy = this->read(p.dy, r);
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

template <class T, class Plan> struct LogForward : RowKernel<T, Plan, SoftmaxForward> {
    typedef gpu::compute_t<T> C;
    using Base = RowKernel<T, Plan, SoftmaxForward>;
    using Base::p;

    DEMI_DEVICE void operator()() const {
        for (int64_t r = Plan::first_row(); r < p.rows; r += Plan::row_step()) {
            const Row<T, Plan> x = this->read(p.x, r);
            const C top = this->top(x);
            const bool masked = this->all_masked(x, top);
            C sum = 0;
            x.each(p.width, [&](C v) { sum += gpu::exp(v - top); });
            const C shift = gpu::log(Plan::sum(sum));
            this->write(x, r, [&](C v) { return masked ? C(-gpu::infinity()) : (v - top) - shift; });
        }
    }
};

template <class T, class Plan> struct LogBackward : RowKernel<T, Plan, SoftmaxBackward> {
    typedef gpu::compute_t<T> C;
    using Base = RowKernel<T, Plan, SoftmaxBackward>;
    using Base::p;

    DEMI_DEVICE void operator()() const {
        for (int64_t r = Plan::first_row(); r < p.rows; r += Plan::row_step()) {
            const Row<T, Plan> y = this->read(p.y, r), dy = this->read(p.dy, r);
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

template <template <class, class> class Kernel, class Call>
void launch(DType dtype, const Call& call, bool lines, Queue queue) {
    with_rows(dtype, call.width, [&](auto tag, auto plan) {
        typedef gpu::tag_t<decltype(tag)> T;
        typedef decltype(plan) Plan;
        Kernel<T, Plan> kernel;
        kernel.p = call;
        kernel.aligned = call.width % kPack<T> == 0 && lines;
        launch_rows(kernel, plan, call.rows, Plan::template shared_bytes<gpu::compute_t<T>>(), queue.stream);
    });
}

void forward(const SoftmaxForward& c, Queue queue) {
    const bool lines = all_aligned(c.x.data, c.y.data);
    c.log ? launch<LogForward>(c.x.dtype, c, lines, queue) : launch<Forward>(c.x.dtype, c, lines, queue);
}
void backward(const SoftmaxBackward& c, Queue queue) {
    const bool lines = all_aligned(c.y.data, c.dy.data, c.dx.data);
    c.log ? launch<LogBackward>(c.y.dtype, c, lines, queue) : launch<Backward>(c.y.dtype, c, lines, queue);
}

}  // namespace

const SoftmaxKernels softmax_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
