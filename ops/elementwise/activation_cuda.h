#pragma once
// Internal, for *_cuda.cu: sigmoid, gelu and silu in float and double, as runtime/simd*.h has them for vectors.
#include "runtime/cuda/gpu.h"

namespace demi::DEMI_BACKEND {

// Further below e^-x would overflow, and 1 / (1 + e^-x) is e^x.
template <class C> constexpr C kSigmoidTail = sizeof(C) == 8 ? C(-708) : C(-87);
template <class C> DEMI_DEVICE C sigmoid(C x) {
    return x < kSigmoidTail<C> ? gpu::exp(x) : 1 / (1 + gpu::exp(-x));
}

// 1/2 plus an odd function that reaches 1/2 at x^2 = end: x times a polynomial in x^2. Fewer than half of
// erf's instructions, which would cost more than the memory; the polynomials of runtime/simd_gelu.h.
template <int kTerms> struct OddStep { float c[kTerms]; };
template <int kTerms> DEMI_DEVICE float odd_step(float x, float end, const OddStep<kTerms>& f) {
    const float y = x * x;
    const float s = gpu::fma(y < end ? y : end, 2.f / end, -1.f);
    float p = f.c[kTerms - 1];
    DEMI_UNROLL
    for (int i = kTerms - 2; i >= 0; --i) p = gpu::fma(p, s, f.c[i]);
    p = gpu::fma(x, p, 0.5f);
    return y > end ? (x < 0 ? 0.f : 1.f) : p;
}

DEMI_DEVICE float normal_cdf(float x) {
    constexpr OddStep<16> f = {{0.129085571f, -0.064432472f, 0.047910884f, -0.0388908274f, 0.0320847966f,
                                -0.0259764232f, 0.0202203821f, -0.0148216514f, 0.0100571606f, -0.00665220153f,
                                0.00446259696f, -0.00233231718f, 0.000703853904f, -0.00050119427f,
                                0.000589424861f, -0.000220490227f}};
    return odd_step(x, 30.f, f);
}
DEMI_DEVICE double normal_cdf(double x) { return 0.5 * (1 + gpu::erf(x * 0.70710678118654752440)); }
template <class C> DEMI_DEVICE C gelu(C x) { return x * normal_cdf(x); }
DEMI_DEVICE float gelu_grad(float x) {
    constexpr OddStep<18> f = {{0.121344462f, -0.0612809695f, 0.0482018143f, -0.0455473736f, 0.0492362715f,
                                -0.0566114299f, 0.0640222877f, -0.0690553263f, 0.0699936152f, -0.060874328f,
                                0.0438621826f, -0.0374286622f, 0.0372861177f, -0.0190998707f,
                                -0.000266604125f, -0.00287606963f, 0.00813669991f, -0.00329350028f}};
    return odd_step(x, 34.f, f);
}
DEMI_DEVICE double gelu_grad(double x) {
    return normal_cdf(x) + x * (0.39894228040143267794 * gpu::exp(-0.5 * x * x));
}

// silu(x) = value * scale, its derivative = slope * scale: scale is 1, or in the tail, where sigmoid(x) is
// subnormal, what keeps the others normal. A factor comes in before scale.
template <class C> struct SiluParts { C value, slope, scale; };
template <class C> DEMI_DEVICE SiluParts<C> silu_parts(C x) {
    if (x < kSigmoidTail<C>) {
        constexpr bool f64 = sizeof(C) == 8;
        const C e = gpu::exp(x + C(f64 ? 300 : 40));
        return {x * e, gpu::fma(x, e, e), C(f64 ? 5.1482002224120116e-131 : 4.2483542552915890e-18)};
    }
    const C s = sigmoid(x);
    return {x * s, gpu::fma(x * s, 1 - s, s), C(1)};
}

}  // namespace demi::DEMI_BACKEND
