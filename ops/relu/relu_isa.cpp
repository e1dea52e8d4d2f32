#include "ops/common/activation_loops.h"

namespace demi::DEMI_ISA_NS {
namespace {

struct Op {
    static DEMI_INLINE vf value(vf x) { return max(zero(), x); }
    static DEMI_INLINE vf grad(vf x, vf dy) { return dy * select(less(zero(), x), broadcast(1.f), zero()); }
};

}  // namespace

extern const ActivationIsa relu_isa;
const ActivationIsa relu_isa = activation_table<Op>();

}  // namespace demi::DEMI_ISA_NS
