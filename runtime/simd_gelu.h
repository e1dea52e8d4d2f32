#pragma once
// gelu by erf, x * Phi(x) with Phi the normal distribution's cumulative function, and its derivative, for
// simd.h. Both are 1/2 plus an odd function that ends at 1/2: Phi(x) - 1/2, and that plus x * density(x).
#include "runtime/simd_math.h"

namespace demi::DEMI_BACKEND {

#if defined(__AVX512F__)

// A function of a >= 0 that ends at 1/2, in 16 pieces: polynomials in r, where a * scale = i + r and i is the
// nearest whole number; table[d][i] is the factor of r^d in piece i. Least squares with weights that even out
// the largest errors, against double. The processor looks up 16 table entries at once.
template <int kDegree> struct Pieces {
    float scale;
    alignas(64) float table[kDegree + 1][16];
};

template <int kDegree> DEMI_INLINE vf in_pieces(vf a, const Pieces<kDegree>& f) {
    const vf magic = broadcast(0x1.8p23f), last = broadcast(15.49f);
    const vf u = min(last, a * broadcast(f.scale));  // NaN stays NaN
    const vf whole = u + magic;                      // i in the lowest bits
    const vf r = u - (whole - magic);
    const vi i = _mm512_castps_si512(whole);
    vf y = _mm512_permutexvar_ps(i, load(f.table[kDegree]));
#pragma GCC unroll 8
    for (int d = kDegree - 1; d >= 0; --d) y = fma(y, r, _mm512_permutexvar_ps(i, load(f.table[d])));
    return y;
}

constexpr Pieces<4> kCdf = {
    2.710280418395996f,
    {
        {4.06737044e-09f, 0.143923283f, 0.269721806f, 0.36583066f, 0.430009544f, 0.467468679f, 0.486578494f,
         0.495099306f, 0.49841997f, 0.499551028f, 0.499887735f, 0.499975324f, 0.499995232f, 0.499999195f,
         0.499999881f, 0.5f},
        {0.147195533f, 0.137509122f, 0.112111449f, 0.0797712505f, 0.0495358296f, 0.0268452223f, 0.0126965716f,
         0.00524052419f, 0.00188767724f, 0.000593391247f, 0.000162783268f, 3.89697634e-05f, 8.14120267e-06f,
         1.48417416e-06f, 2.36106843e-07f, 0.0f},
        {6.54110909e-06f, -0.0093596708f, -0.0152620561f, -0.016289236f, -0.0134870298f, -0.00913648866f,
         -0.00518546114f, -0.00249707839f, -0.00102799234f, -0.00036355661f, -0.000110820147f,
         -2.91846882e-05f, -6.65175321e-06f, -1.31381239e-06f, -2.25106888e-07f, 0.0f},
        {-0.0033765207f, -0.00268070307f, -0.00115840952f, 0.000396728457f, 0.00131147739f, 0.00145631761f,
         0.00112226396f, 0.000676145195f, 0.000332778814f, 0.000136696588f, 4.74426597e-05f, 1.40199454e-05f,
         3.54614713e-06f, 7.70567965e-07f, 1.44244154e-07f, 0.0f},
        {8.44371825e-05f, 0.000301239488f, 0.000422117882f, 0.000326418813f, 0.000126354294f,
         -4.02858677e-05f, -0.000110658235f, -0.000103574755f, -6.67082932e-05f, -3.33233183e-05f,
         -1.35058563e-05f, -4.54214478e-06f, -1.28423039e-06f, -3.07829509e-07f, -6.29161292e-08f, 0.0f},
    }};

// 5e-7 absolute; exactly 0 or x from |x| = 5.36 on.
DEMI_INLINE vf gelu(vf x) {
    const vf a = abs(x);
    return fma(a, in_pieces(a, kCdf), broadcast(0.5f) * x);
}

constexpr Pieces<5> kSlope = {
    2.457627058029175f,
    {
        {2.30997915e-10f, 0.307389468f, 0.525257945f, 0.620076954f, 0.62086612f, 0.581511199f, 0.542146802f,
         0.517474055f, 0.505928099f, 0.501663566f, 0.500388682f, 0.500075936f, 0.500012457f, 0.500001729f,
         0.500000179f, 0.5f},
        {0.324656457f, 0.274122387f, 0.155940294f, 0.0392939933f, -0.028017696f, -0.0438359976f,
         -0.0326479562f, -0.0171783045f, -0.00697868317f, -0.00226777839f, -0.000600144849f, -0.000130703091f,
         -2.35828356e-05f, -3.54135e-06f, -4.4404166e-07f, 0.0f},
        {6.97819075e-07f, -0.0474297814f, -0.0644152313f, -0.0480338819f, -0.0193128381f, 0.00117890106f,
         0.00802685414f, 0.00669788616f, 0.00354666566f, 0.00139350002f, 0.000428528205f, 0.000105794483f,
         2.12710274e-05f, 3.5145772e-06f, 4.80136293e-07f, 0.0f},
        {-0.0179227535f, -0.0118274083f, 0.000633660879f, 0.00895179994f, 0.00896463729f, 0.00443456369f,
         0.000499946764f, -0.0010101872f, -0.000943320163f, -0.00049346179f, -0.000184561621f,
         -5.30154903e-05f, -1.20787354e-05f, -2.22176914e-06f, -3.33592226e-07f, 0.0f},
        {1.87960977e-05f, 0.00273036561f, 0.00294087478f, 0.00101415731f, -0.000793147192f, -0.00120477355f,
         -0.000680516241f, -0.00012653161f, 9.89883629e-05f, 0.000102294638f, 5.20765789e-05f,
         1.83803313e-05f, 4.90981574e-06f, 1.03087916e-06f, 1.73647138e-07f, 0.0f},
        {0.000642516301f, 0.000337732461f, -0.000235870291f, -0.000448160194f, -0.00023040727f,
         4.4696666e-05f, 0.000131465975f, 7.91812417e-05f, 1.61616626e-05f, -8.80140851e-06f,
         -9.17440047e-06f, -4.37079643e-06f, -1.41760472e-06f, -3.44610356e-07f, -6.54091892e-08f, 0.0f},
    }};

// 3e-7 absolute; exactly 0 or 1 from |x| = 5.91 on.
DEMI_INLINE vf gelu_grad(vf x) {
    const vf sign = _mm512_and_ps(x, broadcast(-0.f));
    return broadcast(0.5f) + _mm512_xor_ps(in_pieces(abs(x), kSlope), sign);
}

#else

// The normal distribution's cumulative function, (1 + erf(x / sqrt 2)) / 2: 1e-7 absolute, exactly 0 or
// 1 from |x| = 5.48 on. It is 1/2 plus an odd function, a polynomial in x^2 that needs neither a
// division nor an exponential.
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

// 5e-7 absolute.
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

#endif

}  // namespace demi::DEMI_BACKEND
