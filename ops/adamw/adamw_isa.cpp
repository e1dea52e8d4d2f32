#include "ops/adamw/adamw_isa.h"

#include "ops/common/lanes.h"

namespace demi::DEMI_ISA_NS {
namespace {

template <class P, class G>
void step(void* param, const void* grad, float* exp_avg, float* exp_avg_sq, int64_t count,
          const AdamwScalars* s) {
    P* p = static_cast<P*>(param);
    const G* g = static_cast<const G*>(grad);
    const vf decay = broadcast(s->decay), beta1_rest = broadcast(s->beta1_rest), beta2 = broadcast(s->beta2);
    const vf beta2_rest = broadcast(s->beta2_rest), size = broadcast(s->step_size), eps = broadcast(s->eps);
    const vf root = broadcast(s->root_correction), scale = broadcast(s->grad_scale);
    for_lanes(
        count, DEMI_LANES {
            const vf d = get(g + i, n) * scale;
            const vf old = get(exp_avg + i, n);
            const vf m = fma(beta1_rest, d - old, old);
            const vf v = fma(beta2_rest * d, d, beta2 * get(exp_avg_sq + i, n));
            const vf change = size * (m / (sqrt(v) / root + eps));
            put(exp_avg + i, m, n);
            put(exp_avg_sq + i, v, n);
            put(p + i, decay * get(p + i, n) - change, n);
        });
}

}  // namespace

extern const AdamwIsa adamw_isa;
const AdamwIsa adamw_isa = {{{step<Half, Half>, step<Half, BFloat16>, step<Half, float>},
                             {step<BFloat16, Half>, step<BFloat16, BFloat16>, step<BFloat16, float>},
                             {step<float, Half>, step<float, BFloat16>, step<float, float>}}};

}  // namespace demi::DEMI_ISA_NS
