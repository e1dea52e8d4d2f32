#pragma once
// Functions on vf for simd.h: minimax polynomials, errors measured against double
// (relative unless said otherwise).

namespace demi::DEMI_BACKEND {

DEMI_INLINE vf infinity() { return broadcast(__builtin_inff()); }

template <int N> DEMI_INLINE vf polynomial(vf x, const float (&c)[N]) {
    vf p = broadcast(c[N - 1]);
#pragma GCC unroll 32
    for (int i = N - 2; i >= 0; --i) p = fma(p, x, broadcast(c[i]));
    return p;
}

// The nearest whole number for |x| < 2^22, ties to even.
DEMI_INLINE vf round_to_whole(vf x) {
    const vf magic = broadcast(0x1.8p23f);
    return (x + magic) - magic;
}

// 2^x: 1e-7, whole range, subnormal results included.
DEMI_INLINE vf exp2(vf x) {
    constexpr float c[] = {
        1.f, 0.693147182f, 0.240226477f, 0.0555033237f, 0.00961843692f, 0.00133988739f, 0.00015353362f};
    const vf bounded = max(broadcast(-151.f), min(broadcast(129.f), x));
    const vf n = round_to_whole(bounded);
    const vf y = scale_by_exponent(polynomial(bounded - n, c), n);
    return select(equal(x, x), y, x);
}

// e^x: 1e-7, whole range, subnormal results included.
DEMI_INLINE vf exp(vf x) {
    constexpr float c[] = {1.f, 1.f, 0.49999994f, 0.166664317f, 0.0416680016f, 0.0083741555f, 0.00138436537f};
    const vf bounded = max(broadcast(-105.f), min(broadcast(89.5f), x));
    const vf n = round_to_whole(bounded * broadcast(1.44269504f));
    // ln 2 in two parts: the first has few bits, so that n times it is exact.
    vf r = fnma(n, broadcast(0.693359375f), bounded);
    r = fnma(n, broadcast(-2.12194440e-4f), r);
    const vf y = scale_by_exponent(polynomial(r, c), n);
    return select(equal(x, x), y, x);
}

// 1 / (1 + e^-x).
DEMI_INLINE vf sigmoid(vf x) {
    const vf one = broadcast(1.f);
    const vf e = exp(zero() - abs(x));
    const vf small = e / (one + e);
    return select(less(x, zero()), small, one / (one + e));
}

DEMI_INLINE vf tanh(vf x) {
    constexpr float c[] = {1.f, -0.333332837f, 0.133314908f, -0.0537434965f, 0.0206505861f, -0.0057170447f};
    const vf a = abs(x);
    const vf one = broadcast(1.f);
    const vf e = exp(broadcast(-2.f) * a);
    const vf large = (one - e) / (one + e);
    const vf y = select(less(x, zero()), zero() - large, large);
    return select(less(a, broadcast(0.625f)), x * polynomial(x * x, c), y);
}

// silu(x) = x * sigmoid(x) = value * scale and its derivative = slope * scale: scale is 1, or in the tail,
// where sigmoid(x) is subnormal, what keeps the others normal. A factor comes in before scale.
struct SiluParts {
    vf value, slope, scale;
};
DEMI_INLINE SiluParts silu_parts(vf x) {
    const vf one = broadcast(1.f), s = sigmoid(x);
    SiluParts p{x * s, fma(x * s, one - s, s), one};
    const vm tail = less(x, broadcast(-87.f));
    if (any(tail)) {
        const vf e = exp(x + broadcast(40.f));
        p.value = select(tail, x * e, p.value);
        p.slope = select(tail, fma(x, e, e), p.slope);
        p.scale = select(tail, broadcast(4.24835426e-18f), one);  // e^-40
    }
    return p;
}

}  // namespace demi::DEMI_BACKEND
