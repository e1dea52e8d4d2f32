#include <cmath>

#include "ops/common/activation_isa.h"
#include "ops/silu/silu_kernels.h"
#include "runtime/isa.h"

namespace demi {

DEMI_ISA_TABLE(ActivationIsa, silu_isa)

namespace {

double sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
double value(double x) { return x * sigmoid(x); }
double slope(double x) {
    const double s = sigmoid(x);
    return s * (1 + x * (1 - s));
}

}  // namespace

const ActivationKernels silu_cpu{
    .forward = [](const Tensor& x, Tensor& y) { activation_forward(silu_isa(), value, x, y); },
    .backward = [](const Tensor& x, const Tensor& dy,
                   Tensor& dx) { activation_backward(silu_isa(), slope, x, dy, dx); },
};

}  // namespace demi
