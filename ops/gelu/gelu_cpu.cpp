#include <cmath>

#include "ops/common/activation_isa.h"
#include "ops/gelu/gelu_kernels.h"
#include "runtime/isa.h"

namespace demi {

DEMI_ISA_TABLE(ActivationIsa, gelu_isa)

namespace {

double cdf(double x) { return 0.5 * std::erfc(-x * 0.70710678118654752440); }
double value(double x) { return x * cdf(x); }
double grad(double x, double dy) {
    return dy * (cdf(x) + x * 0.39894228040143267794 * std::exp(-0.5 * x * x));
}

}  // namespace

const ActivationKernels gelu_cpu{
    .forward = [](const Tensor& x, Tensor& y) { activation_forward(gelu_isa(), value, x, y); },
    .backward = [](const Tensor& x, const Tensor& dy,
                   Tensor& dx) { activation_backward(gelu_isa(), grad, x, dy, dx); },
};

}  // namespace demi
