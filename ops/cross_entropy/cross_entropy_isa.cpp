#include "ops/cross_entropy/cross_entropy_isa.h"

#include "ops/common/lanes.h"

namespace demi::DEMI_ISA_NS {
namespace {

constexpr float kInf = __builtin_inff();

// A row of nothing but -inf.
bool is_masked(float max, float log_sum) { return max == -kInf && log_sum == log_sum; }

template <class T>
void forward(const void* x_, const float* target, bool distance, int64_t width, CrossEntropyRow<float>* out) {
    const T* x = static_cast<const T*>(x_);
    const float top = max_lanes(x, width);
    const vf m = broadcast(top);
    out->max = top;
    out->exp_sum = sum_lanes(
        width, DEMI_LANES { return only(n, exp(get(x + i, n) - m), zero()); });
    out->distance = 0;
    if (distance)
        out->distance = sum_lanes(
            width, DEMI_LANES { return only(n, m - get(x + i, n), zero()); });
    if (target == nullptr) return;
    out->target = sum_lanes(
        width, DEMI_LANES { return get(target + i, n); });
    out->target_distance = sum_lanes(
        width, DEMI_LANES {
            const vf t = get(target + i, n);
            return select(equal(t, zero()), zero(), t * (m - get(x + i, n)));
        });
}

template <class T>
void backward(const void* x_, const float* target, const CrossEntropyStep* step, void* dx_, int64_t width) {
    const T* x = static_cast<const T*>(x_);
    T* dx = static_cast<T*>(dx_);
    const vf m = broadcast(step->max), log_sum = broadcast(step->log_sum), prob = broadcast(step->prob);
    const vf constant = broadcast(step->constant), hit = broadcast(step->hit);
    if (is_masked(step->max, step->log_sum)) {
        for_lanes(
            width, DEMI_LANES { put(dx + i, zero(), n); });
        return;
    }
    if (target != nullptr) {
        for_lanes(
            width, DEMI_LANES {
                const vf p = prob * exp((get(x + i, n) - m) - log_sum);
                put(dx + i, fnma(hit, get(target + i, n), p) - constant, n);
            });
        return;
    }
    for_lanes(
        width, DEMI_LANES { put(dx + i, prob * exp((get(x + i, n) - m) - log_sum) - constant, n); });
    if (step->label >= 0) {  // once more, because dx is already rounded
        const int64_t l = step->label;
        put(dx + l, prob * exp((get(x + l, 1) - m) - log_sum) - constant - hit, 1);
    }
}

template <class T>
void target_grad(const void* x_, const float* t, float max, float log_sum, float factor, float* dt,
                 int64_t width) {
    const T* x = static_cast<const T*>(x_);
    const vf m = broadcast(max), l = broadcast(log_sum), f = broadcast(factor);
    const vf none = zero() - infinity(), far = broadcast(factor == 0 ? 0.f : factor * kInf);
    const bool nan = !(log_sum == log_sum);
    for_lanes(
        width, DEMI_LANES {
            const vf v = get(x + i, n), distance = m - v;
            vf d = f * (distance + l);
            if (!nan && !all(is_finite(distance))) {
                d = select(is_finite(distance), d, (f * m - f * v) + f * l);
                const vf masked = select(equal(get(t + i, n), zero()), zero(), far);
                d = select(equal(v, none), masked, d);
            }
            put(dt + i, d, n);
        });
}

}  // namespace

extern const CrossEntropyIsa cross_entropy_isa;
const CrossEntropyIsa cross_entropy_isa = {{forward<Half>, forward<BFloat16>, forward<float>},
                                           {backward<Half>, backward<BFloat16>, backward<float>},
                                           {target_grad<Half>, target_grad<BFloat16>, target_grad<float>}};

}  // namespace demi::DEMI_ISA_NS
