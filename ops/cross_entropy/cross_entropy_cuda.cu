#include "ops/cross_entropy/cross_entropy_kernels.h"

#include "ops/rows/rows_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

// A label outside of the row gives NaN instead of a read outside of it; the op has refused such labels
// before, where it could look at them.
DEMI_DEVICE bool is_class(int64_t label, int64_t width) { return label >= 0 && label < width; }

template <class T, class Plan> struct Forward {
    typedef gpu::compute_t<T> C;
    CrossEntropyForward p;
    bool aligned;

    DEMI_DEVICE void write(int64_t r, C loss, C top, C log_sum) const {
        if (Plan::rank() != 0) return;
        elements<C>(p.losses)[r] = loss;
        elements<C>(p.row_max)[r] = top;
        elements<C>(p.log_sum)[r] = log_sum;
    }
    DEMI_DEVICE void operator()(int64_t r) const {
        const CrossEntropyRows& in = p;
        const bool hard = in.labels.data != nullptr;
        const C smoothing = static_cast<C>(in.smoothing);
        const C share = static_cast<C>(in.smoothing / static_cast<double>(in.width));
        const int64_t label = hard ? elements<int64_t>(in.labels)[r] : -1;
        if (in.ignores && label == in.ignored) return write(r, 0, 0, 0);
        const T* start = row<T>(in.logits, r, in.width);
        const Row<T, Plan> x(start, in.width, aligned);
        const C top = x.top();
        C sum = 0, distance = 0;
        x.each([&](C v) {
            sum += gpu::exp(v - top);
            distance += top - v;
        });
        sum = Plan::sum(sum);
        C log_sum = gpu::log(sum);
        C weight = 1, away;  // sum of the target, and of the target times the distance from the maximum
        if (hard) {
            away = is_class(label, in.width) ? top - static_cast<C>(gpu::load(start + label)) : C(NAN);
        } else {
            weight = away = 0;
            const C* target = row<C>(in.target, r, in.width);
            Plan::template each_pack<T>(in.width, [&](int k, int64_t at, int count) {
                const Values<T> v = x.values(k, at, count);
                const Values<T> t = read_beside<T>(target + at, count, aligned);
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i) {
                    if (i >= count || t.v[i] == 0) continue;
                    weight += t.v[i];
                    away += t.v[i] * (top - v.v[i]);
                }
            });
            weight = Plan::sum(weight);
            away = Plan::sum(away);
        }
        C loss = (1 - smoothing) * away + ((1 - smoothing) * weight + smoothing) * log_sum;
        if (in.smoothing != 0) loss += share * Plan::sum(distance);
        if (!gpu::is_finite(loss) && (!hard || is_class(label, in.width)))
            loss = careful_loss(r, x, label, top, log_sum);
        write(r, loss, top, log_sum);
    }
    // As careful_loss on the CPU.
    DEMI_DEVICE C careful_loss(int64_t r, const Row<T, Plan>& x, int64_t label, C top, C& log_sum) const {
        const CrossEntropyRows& in = p;
        const bool masked = top == -gpu::infinity() && x.all_are(-gpu::infinity());
        if (masked) log_sum = 0;
        const C smoothing = static_cast<C>(in.smoothing);
        const C share = static_cast<C>(in.smoothing / static_cast<double>(in.width));
        const C* target = row<C>(in.target, r, in.width);
        C loss = 0, weights = 0;
        Plan::template each_pack<T>(in.width, [&](int k, int64_t at, int count) {
            const Values<T> v = x.values(k, at, count);
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) {
                if (i >= count) continue;
                const C t = target != nullptr ? target[at + i] : at + i == label ? C(1) : C(0);
                const C weight = (1 - smoothing) * t + share;
                if (weight == 0) continue;
                weights += weight;
                loss += masked ? weight * gpu::infinity() : weight * top - weight * v.v[i];
            }
        });
        loss = Plan::sum(loss);
        return loss + Plan::sum(weights) * log_sum;
    }
};

template <class T, class Plan> struct BackwardOf {
    typedef gpu::compute_t<T> C;
    CrossEntropyBackward p;
    bool aligned;

    DEMI_DEVICE void zero(int64_t r) const {
        if (p.dlogits.data == nullptr) return;
        T* dx = row<T>(p.dlogits, r, p.width);
        Plan::template each_pack<T>(p.width, [&](int, int64_t at, int count) {
            write_pack(dx + at, Bytes16{{0, 0, 0, 0}}, count, aligned);
        });
    }
    DEMI_DEVICE void operator()(int64_t r) const {
        const CrossEntropyRows& in = p;
        const int64_t label = in.labels.data != nullptr ? elements<int64_t>(in.labels)[r] : -1;
        if (in.ignores && label == in.ignored) return zero(r);
        const C smoothing = static_cast<C>(in.smoothing);
        const C share = static_cast<C>(in.smoothing / static_cast<double>(in.width));
        const C top = elements<C>(p.row_max)[r], log_sum = elements<C>(p.log_sum)[r];
        const C g = elements<C>(p.dloss)[p.one_dloss ? 0 : r] * static_cast<C>(p.scale);
        const C hit = g * (1 - smoothing), constant = g * share;
        const C* target = row<C>(in.target, r, in.width);
        C total = 1;
        if (target != nullptr) {
            double sum = 0;
            Plan::template each_pack<T>(in.width, [&](int, int64_t at, int count) {
                const Values<T> t = read_beside<T>(target + at, count, aligned);
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i)
                    if (i < count) sum += static_cast<double>(t.v[i]);
            });
            total = (1 - smoothing) * static_cast<C>(Plan::sum(sum)) + smoothing;
        }
        const C prob = g * total, none = -gpu::infinity();
        const bool nan = !(log_sum == log_sum), masked = top == none && !nan;
        const T* x = row<T>(in.logits, r, in.width);
        T* dx = row<T>(p.dlogits, r, in.width);
        C* dt = row<C>(p.dtarget, r, in.width);
        Plan::template each_pack<T>(in.width, [&](int, int64_t at, int count) {
            const Values<T> v = read_values(x + at, count, aligned);
            Values<T> d, t;
            if (target != nullptr) t = read_beside<T>(target + at, count, aligned);
            if (dt != nullptr) {
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i) {
                    C of = hit * ((top - v.v[i]) + log_sum);
                    if (!gpu::is_finite(top - v.v[i]) && !nan) {
                        of = (hit * top - hit * v.v[i]) + hit * log_sum;
                        if (v.v[i] == none) of = t.v[i] == 0 || hit == 0 ? C(0) : hit * gpu::infinity();
                    }
                    if (i < count) dt[at + i] = of;
                }
            }
            if (dx == nullptr) return;
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) {
                if (masked) {
                    d.v[i] = 0;
                    continue;
                }
                d.v[i] = prob * gpu::exp((v.v[i] - top) - log_sum) - constant;
                if (target != nullptr)
                    d.v[i] = gpu::fma(-hit, t.v[i], d.v[i]);
                else if (at + i == label)
                    d.v[i] -= hit;
            }
            write_values(dx + at, d, count, aligned);
        });
    }
};

// Nothing is read twice.
template <class T, class Plan> using Backward = BackwardOf<T, RowPlan<Plan::kThreads, false>>;

// One block; a thread looks at every 1024th label.
struct InspectKernel {
    static constexpr int threads = 1024;
    CrossEntropyInspect p;

    DEMI_DEVICE void operator()() const {
        constexpr int64_t kNone = INT64_MAX;
        int64_t first = kNone, kept = 0;
        for (int64_t i = gpu::thread_idx().x; i < p.count; i += threads) {
            if (p.ignores && p.labels[i] == p.ignored) continue;
            ++kept;
            if (!is_class(p.labels[i], p.classes) && first == kNone) first = i;
        }
        kept = gpu::block_sum(kept, gpu::shared<int64_t>());
        first = -RowPlan<threads, false>::max(-first);
        if (gpu::thread_idx().x != 0) return;
        p.found[0] = first == kNone ? -1 : first;
        p.found[1] = kept;
    }
};

template <class C> struct TotalKernel {
    static constexpr int threads = 1024;
    CrossEntropyTotal p;

    DEMI_DEVICE void operator()() const {
        const C* losses = elements<C>(p.losses);
        double sum = 0;
        for (int64_t i = gpu::thread_idx().x; i < p.count; i += threads)
            sum += static_cast<double>(losses[i]);
        sum = gpu::block_sum(sum, gpu::shared<double>());
        if (gpu::thread_idx().x == 0) *elements<C>(p.out) = static_cast<C>(sum * p.scale);
    }
};

void inspect(const CrossEntropyInspect& c, Queue queue) {
    gpu::launch(InspectKernel{c}, {1}, {InspectKernel::threads}, 32 * sizeof(int64_t), queue.stream);
}

void forward(const CrossEntropyForward& c, Queue queue) {
    launch_rows<Forward>(c.logits.dtype, c, all_aligned(c.logits.data, c.target.data), queue.stream);
}
void backward(const CrossEntropyBackward& c, Queue queue) {
    const bool lines = all_aligned(c.logits.data, c.target.data, c.dlogits.data);
    launch_rows<Backward>(c.logits.dtype, c, lines, queue.stream);
}

void total(const CrossEntropyTotal& c, Queue queue) {
    if (c.losses.dtype == DType::f64)
        gpu::launch(TotalKernel<double>{c}, {1}, {1024}, 32 * sizeof(double), queue.stream);
    else
        gpu::launch(TotalKernel<float>{c}, {1}, {1024}, 32 * sizeof(double), queue.stream);
}

}  // namespace

const CrossEntropyKernels cross_entropy_kernels{inspect, forward, backward, total};

}  // namespace demi::DEMI_BACKEND
