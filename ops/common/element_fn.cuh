#pragma once
// Internal: the functions of element_fn.h on the device. One kernel knows them all: the choice is the same in
// every thread and hides behind memory, and a kernel for each function and type would take minutes to
// compile.
#include "ops/common/activation.cuh"
#include "ops/common/element_fn.h"
#include "runtime/cuda/gpu.h"
// After gpu.h, which it stands on.
#include "ops/common/element_grad.h"

namespace demi::gpu {

template <class T> DEMI_DEVICE T apply_element(ElementFn fn, T a, T b, T c, T p, T q) {
    switch (fn) {
    case ElementFn::copy: return a;
    case ElementFn::neg: return -a;
    case ElementFn::exp: return exp(a);
    case ElementFn::log: return log(a);
    case ElementFn::sqrt: return sqrt(a);
    case ElementFn::square: return a * a;
    case ElementFn::abs: return a < 0 ? -a : a + T(0);
    case ElementFn::sigmoid: return gpu_kernels::sigmoid(a);
    case ElementFn::tanh: return tanh(a);
    case ElementFn::pow: return pow(a, p);
    case ElementFn::clamp: return a < p ? p : (a > q ? q : a);
    case ElementFn::add_scalar: return a + p;
    case ElementFn::mul_scalar: return a * p;
    case ElementFn::div_scalar: return a / p;
    case ElementFn::rsub: return p - a;
    case ElementFn::rdiv: return p / a;
    case ElementFn::add: return a + b;
    case ElementFn::sub: return a - b;
    case ElementFn::mul: return a * b;
    case ElementFn::div: return a / b;
    case ElementFn::maximum: return a > b || !(a == a) ? a : b;
    case ElementFn::minimum: return a < b || !(a == a) ? a : b;
    case ElementFn::eq: return T(a == b);
    case ElementFn::ne: return T(a != b);
    case ElementFn::lt: return T(a < b);
    case ElementFn::le: return T(a <= b);
    case ElementFn::log_grad: return a / b;
    case ElementFn::sqrt_grad: return a / (b + b);
    case ElementFn::square_grad: return square_grad(a, b);
    case ElementFn::abs_grad: return b > 0 ? a : (b < 0 ? -a : T(0));
    case ElementFn::sigmoid_grad: return a * (b * (1 - b));
    case ElementFn::tanh_grad: return a * (1 - b * b);
    case ElementFn::pow_grad: return pow_grad(a, b, p);
    case ElementFn::clamp_grad: return b >= p && b <= q ? a : T(0);
    case ElementFn::rdiv_grad: return div_grad(a, p, b);
    case ElementFn::clear: return T(0);
    case ElementFn::keep_where: return b != 0 ? a : T(0);
    case ElementFn::drop_where: return b != 0 ? T(0) : a;
    case ElementFn::fill_where: return b != 0 ? p : a;
    case ElementFn::div_grad: return div_grad(a, b, c);
    case ElementFn::greater_grad: return b > c ? a : (b == c ? a / 2 : T(0));
    case ElementFn::where: return a != 0 ? b : c;
    case ElementFn::count: break;
    }
    return T(0);
}

// The functions that on_integers() names.
template <>
DEMI_DEVICE int64_t apply_element(ElementFn fn, int64_t a, int64_t b, int64_t c, int64_t, int64_t) {
    switch (fn) {
    case ElementFn::maximum: return a > b ? a : b;
    case ElementFn::minimum: return a < b ? a : b;
    case ElementFn::eq: return a == b;
    case ElementFn::ne: return a != b;
    case ElementFn::lt: return a < b;
    case ElementFn::le: return a <= b;
    default: return a != 0 ? b : c;  // where
    }
}

}  // namespace demi::gpu
