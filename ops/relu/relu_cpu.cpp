#include <cmath>

#include "ops/common/activation_isa.h"
#include "ops/relu/relu_kernels.h"
#include "runtime/isa.h"

namespace demi {

DEMI_ISA_TABLE(ActivationIsa, relu_isa)

namespace {

double value(double x) { return x < 0 ? 0 : x; }
double grad(double x, double dy) { return dy * (x > 0 ? 1 : 0); }

}  // namespace

const ActivationKernels relu_cpu{
    .forward = [](const Tensor& x, Tensor& y) { activation_forward(relu_isa(), value, x, y); },
    .backward = [](const Tensor& x, const Tensor& dy,
                   Tensor& dx) { activation_backward(relu_isa(), grad, x, dy, dx); },
};

}  // namespace demi
