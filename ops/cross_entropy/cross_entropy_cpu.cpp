#include "ops/cross_entropy/cross_entropy_kernels.h"

#include "ops/rows/rows_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

// What one pass over a row gives. Distances are max - x, so that no digits are lost to a large maximum.
template <class C> struct RowSums {
    C max, exp_sum;             // sum exp(x - max)
    C distance;                 // sum (max - x); only where asked for
    C target, target_distance;  // sum t, sum t (max - x); only with a target
};

template <class T, class C>
DEMI_INLINE RowSums<C> sums_of(const T* x, const C* target, bool distance, int64_t width) {
    RowSums<C> out{max_lanes(x, width), 0, 0, 0, 0};
    const auto m = splat<T>(out.max);
    out.exp_sum =
        sum_lanes<T>(width, [&] DEMI_LANES { return only(n, exp(get(x + i, n) - m), splat<T>(0)); });
    if (distance)
        out.distance =
            sum_lanes<T>(width, [&] DEMI_LANES { return only(n, m - get(x + i, n), splat<T>(0)); });
    if (target == nullptr) return out;
    out.target = sum_lanes<T>(width, [&] DEMI_LANES { return get(target + i, n); });
    out.target_distance = sum_lanes<T>(width, [&] DEMI_LANES {
        const auto t = get(target + i, n);
        return select(equal(t, splat<T>(0)), splat<T>(0), t * (m - get(x + i, n)));
    });
    return out;
}

// Of the smoothing, one class' share.
template <class C> DEMI_INLINE C share_of(const CrossEntropyRows& in) {
    return static_cast<C>(in.smoothing / static_cast<double>(in.width));
}

// The loss of a row whose parts left the range, and of the edges of probability: each weight meets its
// distance alone, and a weight of 0 none at all.
template <class T, class C>
DEMI_RARE C careful_loss(const CrossEntropyRows& in, const T* x, const C* target, int64_t label, C top,
                         C& log_sum) {
    bool masked = top == -kInf;
    for (int64_t i = 0; masked && i < in.width; ++i) masked = value_of(x + i) == -kInf;
    if (masked) log_sum = 0;
    const C smoothing = static_cast<C>(in.smoothing), share = share_of<C>(in);
    C loss = 0, weights = 0;
    for (int64_t i = 0; i < in.width; ++i) {
        const C weight = (1 - smoothing) * (target != nullptr ? target[i] : i == label ? 1 : 0) + share;
        if (weight == 0) continue;
        weights += weight;
        loss += masked ? weight * kInf : weight * top - weight * value_of(x + i);
    }
    return loss + weights * log_sum;
}

void forward(const CrossEntropyForward& call, Queue) {
    dispatch_float(call.logits.dtype, [&]<class T>() {
        for_rows(call, [](const CrossEntropyForward& c, int64_t r) {
            typedef lane_t<T> C;
            C &out = elements<C>(c.losses)[r], &top = elements<C>(c.row_max)[r],
              &log_sum = elements<C>(c.log_sum)[r];
            const int64_t* labels = elements<int64_t>(c.labels);
            if (c.ignores && c.ignored == labels[r]) {
                out = top = log_sum = 0;
                return;
            }
            const T* x = row<T>(c.logits, r, c.width);
            const C* target = row<C>(c.target, r, c.width);
            const C smoothing = static_cast<C>(c.smoothing);
            RowSums<C> sums = sums_of(x, target, smoothing != 0, c.width);
            C lse = log_of(sums.exp_sum);
            if (labels != nullptr) {
                sums.target = 1;
                sums.target_distance = sums.max - value_of(x + labels[r]);
            }
            C loss =
                (1 - smoothing) * sums.target_distance + ((1 - smoothing) * sums.target + smoothing) * lse;
            if (smoothing != 0) loss += share_of<C>(c) * sums.distance;
            if (!is_finite(static_cast<double>(loss)))
                loss = careful_loss(c, x, target, labels != nullptr ? labels[r] : -1, sums.max, lse);
            out = loss;
            top = sums.max;
            log_sum = lse;
        });
    });
}

// dx = prob * exp(x - max - log_sum) - constant - (with a target) hit * t - (with a label) hit at the label;
// 0 in a row of nothing but -inf.
template <class C> struct Step {
    C max, log_sum, prob, constant, hit;
    int64_t label;  // -1: none
};

template <class T, class C>
DEMI_INLINE void backward_row(const T* x, const C* target, const Step<C>& step, T* dx, int64_t width) {
    if (step.max == -kInf && step.log_sum == step.log_sum) return fill_row(dx, 0, width);
    const auto m = splat<T>(step.max), log_sum = splat<T>(step.log_sum), prob = splat<T>(step.prob);
    const auto constant = splat<T>(step.constant), hit = splat<T>(step.hit);
    if (target != nullptr) {
        for_lanes<T>(width, [&] DEMI_LANES {
            const auto p = prob * exp((get(x + i, n) - m) - log_sum), t = get(target + i, n);
            put(dx + i, sizeof(T) == 8 ? fnma(hit, t, p - constant) : fnma(hit, t, p) - constant, n);
        });
        return;
    }
    for_lanes<T>(width,
                 [&] DEMI_LANES { put(dx + i, prob * exp((get(x + i, n) - m) - log_sum) - constant, n); });
    if (step.label >= 0) {  // once more, because dx is already rounded
        const int64_t l = step.label;
        put(dx + l, prob * exp((get(x + l, 1) - m) - log_sum) - constant - hit, 1);
    }
}

// dt = factor * (max + log_sum - x); 0 where x is -infinity and t or factor is 0.
template <class T, class C>
DEMI_INLINE void target_grad_row(const T* x, const C* target, C max, C log_sum, C factor, C* dt,
                                 int64_t width) {
    const auto m = splat<T>(max), l = splat<T>(log_sum), f = splat<T>(factor);
    const auto none = splat<T>(-kInf), far = splat<T>(factor == 0 ? 0 : factor * kInf);
    const bool nan = !(log_sum == log_sum);
    for_lanes<T>(width, [&] DEMI_LANES {
        const auto v = get(x + i, n), distance = m - v;
        auto d = f * (distance + l);
        if (!nan && !all(is_finite(distance))) {
            d = select(is_finite(distance), d, (f * m - f * v) + f * l);
            const auto masked = select(equal(get(target + i, n), splat<T>(0)), splat<T>(0), far);
            d = select(equal(v, none), masked, d);
        }
        put(dt + i, d, n);
    });
}

void backward(const CrossEntropyBackward& call, Queue) {
    dispatch_float(call.logits.dtype, [&]<class T>() {
        for_rows(call, [](const CrossEntropyBackward& c, int64_t r) {
            typedef lane_t<T> C;
            const T* x = row<T>(c.logits, r, c.width);
            const C* target = row<C>(c.target, r, c.width);
            T* dx = row<T>(c.dlogits, r, c.width);
            C* dt = row<C>(c.dtarget, r, c.width);
            const C g = elements<C>(c.dloss)[c.one_dloss ? 0 : r] * static_cast<C>(c.scale);
            const C smoothing = static_cast<C>(c.smoothing);
            const int64_t label = c.labels.data != nullptr ? elements<int64_t>(c.labels)[r] : -1;
            if (c.ignores && c.ignored == label) {
                if (dx != nullptr) fill_row(dx, 0, c.width);
                return;
            }
            C total = 1;
            if (target != nullptr) {
                double sum = 0;
                for (int64_t i = 0; i < c.width; ++i) sum += static_cast<double>(target[i]);
                total = (1 - smoothing) * static_cast<C>(sum) + smoothing;
            }
            const Step<C> step{elements<C>(c.row_max)[r], elements<C>(c.log_sum)[r], g * total,
                               g * share_of<C>(c),        g * (1 - smoothing),       label};
            if (dx != nullptr) backward_row(x, target, step, dx, c.width);
            if (dt != nullptr) target_grad_row(x, target, step.max, step.log_sum, step.hit, dt, c.width);
        });
    });
}

void inspect(const CrossEntropyInspect& c, Queue) {
    c.found[0] = -1;
    c.found[1] = 0;
    for (int64_t i = 0; i < c.count; ++i) {
        if (c.ignores && c.ignored == c.labels[i]) continue;
        ++c.found[1];
        if (c.found[0] < 0 && (c.labels[i] < 0 || c.labels[i] >= c.classes)) c.found[0] = i;
    }
}

void total(const CrossEntropyTotal& c, Queue) {
    dispatch_float(c.losses.dtype, [&]<class T>() {
        double sum = 0;
        for (int64_t i = 0; i < c.count; ++i) sum += static_cast<double>(value_of(elements<T>(c.losses) + i));
        put(elements<T>(c.out), splat<T>(static_cast<lane_t<T>>(sum * c.scale)), 1);
    });
}

}  // namespace

const CrossEntropyKernels cross_entropy_kernels{inspect, forward, backward, total};

}  // namespace demi::DEMI_BACKEND
