#include "ops/common/activation_loops.h"

namespace demi::DEMI_ISA_NS {
namespace {

struct Op {
    static DEMI_INLINE vf value(vf x) {
        const SiluParts p = silu_parts(x);
        return p.value * p.scale;
    }
    static DEMI_INLINE vf grad(vf x, vf dy) {
        const SiluParts p = silu_parts(x);
        return dy * p.slope * p.scale;
    }
};

}  // namespace

extern const ActivationIsa silu_isa;
const ActivationIsa silu_isa = activation_table<Op>();

}  // namespace demi::DEMI_ISA_NS
