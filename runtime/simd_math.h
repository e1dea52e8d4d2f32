#pragma once
// Functions on vf for simd.h: minimax polynomials, errors measured against double (relative unless said
// otherwise).

namespace demi::DEMI_ISA_NS {

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

// 2^x for softmax: 2e-7; x <= 127; gives 0 below 2^-126 and for -infinity; NaN is not kept.
DEMI_INLINE vf exp2_fast(vf x) {
    constexpr float c[] = {1.f, 0.693147004f, 0.240222424f, 0.0555073358f, 0.00967151299f, 0.00132647273f};
    const vf low = broadcast(-126.f);
    const vf bounded = max(x, low);
    const vf n = round_to_whole(bounded);
    const vf y = polynomial(bounded - n, c) * power_of_two(n);
    return select(less(x, low), zero(), y);
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

// The normal distribution's cumulative function, (1 + erf(x / sqrt 2)) / 2: 1e-7 absolute, exactly 0 or 1
// from |x| = 5.48 on. It is 1/2 plus an odd function, a polynomial in x^2 that needs neither a division nor
// an exponential.
DEMI_INLINE vf normal_cdf(vf x) {
    constexpr float c[] = {0.129085571f,    -0.064432472f,   0.047910884f,    -0.0388908274f,
                           0.0320847966f,   -0.0259764232f,  0.0202203821f,   -0.0148216514f,
                           0.0100571606f,   -0.00665220153f, 0.00446259696f,  -0.00233231718f,
                           0.000703853904f, -0.00050119427f, 0.000589424861f, -0.000220490227f};
    const vf end = broadcast(30.f);
    const vf y = x * x;
    const vf s = fma(min(y, end), broadcast(2.f / 30.f), broadcast(-1.f));
    const vf p = fma(x, polynomial(s, c), broadcast(0.5f));
    const vf limit = select(less(x, zero()), zero(), broadcast(1.f));
    return select(less(end, y), limit, p);
}

// x * normal_cdf(x), the GELU by erf: 5e-7 absolute.
DEMI_INLINE vf gelu(vf x) { return x * normal_cdf(x); }

// The derivative of gelu: normal_cdf(x) + x * density(x): 3e-7 absolute.
DEMI_INLINE vf gelu_grad(vf x) {
    constexpr float c[] = {0.121344462f,    -0.0612809695f, 0.0482018143f,  -0.0455473736f, 0.0492362715f,
                           -0.0566114299f,  0.0640222877f,  -0.0690553263f, 0.0699936152f,  -0.060874328f,
                           0.0438621826f,   -0.0374286622f, 0.0372861177f,  -0.0190998707f, -0.000266604125f,
                           -0.00287606963f, 0.00813669991f, -0.00329350028f};
    const vf end = broadcast(34.f);
    const vf y = x * x;
    const vf s = fma(min(y, end), broadcast(2.f / 34.f), broadcast(-1.f));
    const vf p = fma(x, polynomial(s, c), broadcast(0.5f));
    const vf limit = select(less(x, zero()), zero(), broadcast(1.f));
    return select(less(end, y), limit, p);
}

// x * sigmoid(x) and its derivative.
DEMI_INLINE vf silu(vf x) { return x * sigmoid(x); }
DEMI_INLINE vf silu_grad(vf x) {
    const vf s = sigmoid(x);
    return fma(x * s, broadcast(1.f) - s, s);
}

}  // namespace demi::DEMI_ISA_NS
