#pragma once
// Internal: what the expressions of functions.inc call, in the types that arithmetic runs in: vf, float and double on the
// CPU (beside runtime/simd.h), float and double on the GPU; and each row of functions.inc as a type, `exp_fn` and so on.
#include "ops/elementwise/elementwise_kernels.h"
#ifndef DEMI_CUDA
#include "ops/kernel_cpu.h"
#define DEMI_ELEMENT DEMI_INLINE
#else
#include "ops/elementwise/activation_cuda.h"
#define DEMI_ELEMENT DEMI_DEVICE
#endif

namespace demi::DEMI_BACKEND {

#ifndef DEMI_CUDA

DEMI_INLINE float pow(float x, float p) { return __builtin_powf(x, p); }
DEMI_INLINE double pow(double x, double p) { return __builtin_pow(x, p); }
DEMI_INLINE float frexp(float x, int* e) { return __builtin_frexpf(x, e); }
DEMI_INLINE double frexp(double x, int* e) { return __builtin_frexp(x, e); }
DEMI_INLINE float ldexp(float x, int e) { return __builtin_ldexpf(x, e); }
DEMI_INLINE double ldexp(double x, int e) { return __builtin_ldexp(x, e); }
DEMI_INLINE double log(double x) { return __builtin_log(x); }

DEMI_INLINE double normal_cdf(double x) { return 0.5 * __builtin_erfc(-x * 0.70710678118654752440); }
DEMI_INLINE double gelu(double x) { return x * normal_cdf(x); }
DEMI_INLINE double gelu_grad(double x) {
    return normal_cdf(x) + x * 0.39894228040143267794 * __builtin_exp(-0.5 * x * x);
}

// m in [sqrt(1/2), sqrt(2)), x = 2^e m, log m = 2 atanh((m - 1) / (m + 1)): 1e-7, whole range, subnormal numbers included.
DEMI_INLINE vf log(vf x) {
    typedef int32_t vint __attribute__((vector_size(sizeof(vf))));
    typedef uint32_t vuint __attribute__((vector_size(sizeof(vf))));
    const vint tiny = x < 0x1p-126f;
    const vuint bits = reinterpret_cast<vuint>(tiny ? x * 0x1p23f : x) - 0x3f3504f3u;
    const vf e = __builtin_convertvector(reinterpret_cast<vint>(bits) >> 23, vf) - (tiny ? 23.f : 0.f);
    const vf f = reinterpret_cast<vf>((bits & 0x7fffffu) + 0x3f3504f3u) - 1.f;
    const vf s = f / (2.f + f), z = s * s;
    const vf r = z * (0.6666666667f + z * (0.4f + z * (0.2857142857f + z * 0.2222222222f)));
    // log m = f - s (f - r), which loses nothing where f is small
    const vf y = e * 0.693359375f + (e * -2.12194440e-4f + (f - s * (f - r)));
    const vf edge = x == 0 ? zero() - infinity() : x > 0 ? x : broadcast(__builtin_nanf(""));
    return x > 0 && x < infinity() ? y : edge;  // 0, infinity, negative numbers, NaN
}

#else

using gpu::exp;
using gpu::frexp;
using gpu::ldexp;
using gpu::log;
using gpu::pow;
using gpu::sqrt;
using gpu::tanh;

// As vectors have it: b where one is NaN.
template <class T> DEMI_ELEMENT T max(T a, T b) { return a > b ? a : b; }

#endif

// log(1 + x) for x in [0, 1], with the relative error of log: what 1 + x loses of x comes back as a factor.
template <class V> DEMI_ELEMENT V log1p(V x) {
    const V sum = 1 + x, kept = sum - 1;
    return kept == 0 ? x : log(sum) * (x / kept);
}

template <class V> DEMI_ELEMENT V silu(V x) {
    const auto s = silu_parts(x);
    return s.value * s.scale;
}
template <class V> DEMI_ELEMENT V silu_grad(V dy, V x) {
    const auto s = silu_parts(x);
    return dy * s.slope * s.scale;
}

// ---- gradients whose parts may leave the range though the result fits: where all parts are normal numbers the plain
// formula stands; elsewhere the same is taken in pieces

// 0, subnormal numbers, infinity and NaN.
DEMI_ELEMENT bool is_special(float x) {
    const float m = x < 0 ? -x : x;
    return !(m >= 0x1p-126f && m <= 0x1.fffffep127f);
}
DEMI_ELEMENT bool is_special(double x) {
    const double m = x < 0 ? -x : x;
    return !(m >= 0x1p-1022 && m <= 0x1.fffffffffffffp1023);
}

// -(a b) / c^2.
template <class T> DEMI_ELEMENT T div_grad(T a, T b, T c) {
    const T plain = -(a * b) / (c * c);
    if ((!is_special(a * b) || a == 0 || b == 0) && (!is_special(c * c) || c == 0)) return plain;
    if (!(a - a == 0 && b - b == 0 && c - c == 0)) return plain;
    int ea, eb, ec;
    const T x = frexp(a, &ea), y = frexp(b, &eb), z = frexp(c, &ec);
    return ldexp(-(x * y) / (z * z), ea + eb - 2 * ec);
}

// a p x^(p - 1).
template <class T> DEMI_ELEMENT T pow_grad(T a, T x, T p) {
    const T rest = pow(x, p - 1), slope = p * rest;
    if (!(is_special(rest) || is_special(slope)) || x == 0 || !(x - x == 0) || rest != rest) return a * slope;
    const T root = pow(x < 0 ? -x : x, (p - 1) / 2), sign = pow(x < 0 ? T(-1) : T(1), p - 1);
    return a == 0 ? a : a * root * p * sign * root;
}

#ifndef DEMI_CUDA

// The same for vectors: lane by lane where a part is neither a normal number nor zero because an operand is.
DEMI_INLINE bool all_normal(vf x, vf y) {
#if defined(__AVX512DQ__)
    constexpr int kOthers = 0xbf;  // zero, subnormal, infinity, NaN (the class left out: negative numbers)
    return (_mm512_fpclass_ps_mask(x, kOthers) | _mm512_fpclass_ps_mask(y, kOthers)) == 0;
#else
    const vf u = abs(x), v = abs(y);
    return !any(mask_not(mask_and(less_equal(broadcast(0x1p-126f), min(u, v)), less(max(u, v), infinity()))));
#endif
}
DEMI_INLINE vf unless_zero(vf x, vf y) { return select(less(zero(), abs(x)), y, broadcast(1.f)); }

DEMI_RARE vf div_grad_by_lane(vf a, vf b, vf c, vf plain) {
    if (all_normal(unless_zero(a, unless_zero(b, a * b)), unless_zero(c, c * c))) return plain;
    for (int i = 0; i < kLanes; ++i) plain[i] = div_grad<float>(a[i], b[i], c[i]);
    return plain;
}
DEMI_INLINE vf div_grad(vf a, vf b, vf c) {
    const vf plain = -(a * b) / (c * c);
    return all_normal(a * b, c * c) ? plain : div_grad_by_lane(a, b, c, plain);
}

DEMI_RARE vf pow_grad_by_lane(vf a, vf x, vf p) {
    for (int i = 0; i < kLanes; ++i) a[i] = pow_grad<float>(a[i], x[i], p[i]);
    return a;
}
// rest: x^(p - 1).
DEMI_INLINE vf pow_grad(vf a, vf x, vf p, vf rest) {
    const vf slope = p * rest;
    return all_normal(unless_zero(x, rest), unless_zero(x, slope)) ? a * slope : pow_grad_by_lane(a, x, p);
}

#endif

#define DEMI_ELEMENT_TYPE(name, number, what, expression) \
    struct name##_fn { \
        static constexpr int tensors = number; \
        static constexpr ElementKind kind = ElementKind::what; \
        template <class V> \
        static DEMI_ELEMENT V at([[maybe_unused]] V a, [[maybe_unused]] V b, [[maybe_unused]] V c, \
                                 [[maybe_unused]] V p, [[maybe_unused]] V q) { \
            [[maybe_unused]] const V zero = V{}, one = zero + 1; \
            return expression; \
        } \
    };
#define FUNCTION(name, saves, kernels, value, gradient) \
    DEMI_ELEMENT_TYPE(name, 1, kernels, value) DEMI_ELEMENT_TYPE(name##_grad, 2, kernels, gradient)
#define HELPER(name, tensors, kind, value) DEMI_ELEMENT_TYPE(name, tensors, kind, value)
#include "ops/elementwise/functions.inc"
#undef FUNCTION
#undef HELPER

}  // namespace demi::DEMI_BACKEND
