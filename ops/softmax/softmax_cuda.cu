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
    // Nothing but -inf. The maximum alone may have lost a NaN.
    DEMI_DEVICE bool all_masked(const Row<T, Plan>& x, C top) const {
        return top == -gpu::infinity() && x.all_are(top, p.width);
    }
};

template <class T, class Plan, bool kLog> struct Forward : RowKernel<T, Plan, SoftmaxForward> {
    typedef gpu::compute_t<T> C;
    using Base = RowKernel<T, Plan, SoftmaxForward>;
    using Base::p;

    DEMI_DEVICE void operator()() const {
        for (int64_t r = Plan::first_row(); r < p.rows; r += Plan::row_step()) {
            const Row<T, Plan> x = this->read(p.x, r);
            const C top = x.top(p.width);
            const bool masked = this->all_masked(x, top);
            C sum = 0;
            x.each(p.width, [&](C v) { sum += gpu::exp(v - top); });
            sum = Plan::sum(sum);
            if constexpr (kLog) {
                const C shift = gpu::log(sum);
                this->write(x, r, [&](C v) { return masked ? C(-gpu::infinity()) : (v - top) - shift; });
            } else {
                const C scale = masked ? C(0) : 1 / sum;
                this->write(x, r, [&](C v) { return masked ? C(0) : gpu::exp(v - top) * scale; });
            }
        }
    }
};

template <class T, class Plan, bool kLog> struct Backward : RowKernel<T, Plan, SoftmaxBackward> {
    typedef gpu::compute_t<T> C;
    using Base = RowKernel<T, Plan, SoftmaxBackward>;
    using Base::p;

    // Of dy times small: with y for softmax, alone for log_softmax.
    DEMI_DEVICE C sum_of(const Row<T, Plan>& y, const Row<T, Plan>& dy, C small) const {
        C sum = 0;
        Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
            const Values<T> b = dy.values(k, at, count), a = kLog ? b : y.values(k, at, count);
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i)
                if (i < count) sum += kLog ? b.v[i] * small : a.v[i] * (b.v[i] * small);
        });
        return Plan::sum(sum);
    }

    DEMI_DEVICE void operator()() const {
        for (int64_t r = Plan::first_row(); r < p.rows; r += Plan::row_step()) {
            const Row<T, Plan> y = this->read(p.y, r), dy = this->read(p.dy, r);
            const bool masked = kLog && this->all_masked(y, y.top(p.width));
            C small = 1, sum = sum_of(y, dy, small);
            if (!gpu::is_finite(sum)) sum = sum_of(y, dy, small = kSmall);
            const C back = 1 / small;
            this->write(y, dy, r, [&](C a, C b) {
                if (kLog) return masked ? C(0) : gpu::fma(-gpu::exp(a), sum, b * small) * back;
                const C d = a * (b * small - sum);
                return (gpu::is_finite(d) ? d : a * (b * small / 4 - sum / 4) * 4) * back;
            });
        }
    }
};

template <class T, class Plan> using LogForward = Forward<T, Plan, true>;
template <class T, class Plan> using ExpForward = Forward<T, Plan, false>;
template <class T, class Plan> using LogBackward = Backward<T, Plan, true>;
template <class T, class Plan> using ExpBackward = Backward<T, Plan, false>;

void forward(const SoftmaxForward& c, Queue queue) {
    const auto launch =
        c.log ? launch_rows<LogForward, SoftmaxForward> : launch_rows<ExpForward, SoftmaxForward>;
    launch(c.x.dtype, c, all_aligned(c.x.data, c.y.data), queue.stream);
}
void backward(const SoftmaxBackward& c, Queue queue) {
    const auto launch =
        c.log ? launch_rows<LogBackward, SoftmaxBackward> : launch_rows<ExpBackward, SoftmaxBackward>;
    launch(c.y.dtype, c, all_aligned(c.y.data, c.dy.data, c.dx.data), queue.stream);
}

}  // namespace

const SoftmaxKernels softmax_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
