#include "ops/common/activation_loops.h"

namespace demi::DEMI_ISA_NS {
namespace {

struct Op {
    static DEMI_INLINE vf value(vf x) { return gelu(x); }
    static DEMI_INLINE vf grad(vf x, vf dy) { return dy * gelu_grad(x); }
};

}  // namespace

extern const ActivationIsa gelu_isa;
const ActivationIsa gelu_isa = activation_table<Op>();

}  // namespace demi::DEMI_ISA_NS
