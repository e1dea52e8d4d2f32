#include "ops/common/activation_isa.h"
#include "ops/silu/silu_f64.h"
#include "ops/silu/silu_kernels.h"
#include "runtime/isa.h"

namespace demi {

DEMI_ISA_TABLE(ActivationIsa, silu_isa)

namespace {

double value(double x) {
    const SiluF64 s(x);
    return x * s.gate * s.scale;
}
double grad(double x, double dy) {
    const SiluF64 s(x);
    return dy * (s.gate * s.rest) * s.scale;
}

}  // namespace

const ActivationKernels silu_cpu{
    .forward = [](const Tensor& x, Tensor& y) { activation_forward(silu_isa(), value, x, y); },
    .backward = [](const Tensor& x, const Tensor& dy,
                   Tensor& dx) { activation_backward(silu_isa(), grad, x, dy, dx); },
};

}  // namespace demi
