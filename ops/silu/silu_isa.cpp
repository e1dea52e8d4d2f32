#include "ops/common/activation_loops.h"

namespace demi::DEMI_ISA_NS {
namespace {

struct Op {
    static DEMI_INLINE vf value(vf x) { return silu(x); }
    static DEMI_INLINE vf slope(vf x) { return silu_grad(x); }
};

}  // namespace

extern const ActivationIsa silu_isa;
const ActivationIsa silu_isa = activation_table<Op>();

}  // namespace demi::DEMI_ISA_NS
