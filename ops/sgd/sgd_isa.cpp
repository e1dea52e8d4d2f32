#include "ops/sgd/sgd_isa.h"

#include "ops/common/lanes.h"

namespace demi::DEMI_ISA_NS {
namespace {

template <class P, class G>
void step(void* param, const void* grad, float* buffer, int64_t count, const SgdScalars* s) {
    P* p = static_cast<P*>(param);
    const G* g = static_cast<const G*>(grad);
    const vf lr = broadcast(s->lr), weight_decay = broadcast(s->weight_decay);
    const vf momentum = broadcast(s->momentum), scale = broadcast(s->grad_scale);
    for_lanes(
        count, DEMI_LANES {
            const vf old = get(p + i, n);
            vf d = fma(weight_decay, old, get(g + i, n) * scale);
            if (buffer != nullptr) {
                const vf b = fma(momentum, get(buffer + i, n), d);
                put(buffer + i, b, n);
                d = s->nesterov ? fma(momentum, b, d) : b;
            }
            put(p + i, fnma(lr, d, old), n);
        });
}

}  // namespace

extern const SgdIsa sgd_isa;
const SgdIsa sgd_isa = {{{step<Half, Half>, step<Half, BFloat16>, step<Half, float>},
                         {step<BFloat16, Half>, step<BFloat16, BFloat16>, step<BFloat16, float>},
                         {step<float, Half>, step<float, BFloat16>, step<float, float>}}};

}  // namespace demi::DEMI_ISA_NS
