// Tight loops over contiguous rows: arithmetic is left to the compiler's vectoriser, exp and its relatives
// use vf.
#include "ops/common/elementwise_isa.h"

#include "ops/common/element_grad.h"

namespace demi::DEMI_ISA_NS {
namespace {

template <class T> DEMI_INLINE T not_a_number() { return static_cast<T>(__builtin_nanf("")); }

// log for f32 without branches: m in [sqrt(1/2), sqrt(2)), x = 2^e m, log m = 2 atanh((m - 1) / (m + 1)).
// 1e-7.
DEMI_INLINE float log_of(float x) {
    const bool tiny = x < 0x1p-126f;
    const uint32_t bits = float_to_bits(tiny ? x * 0x1p23f : x) - 0x3f3504f3u;
    const float e = static_cast<float>(static_cast<int32_t>(bits) >> 23) - (tiny ? 23.f : 0.f);
    const float f = bits_to_float((bits & 0x7fffffu) + 0x3f3504f3u) - 1.f;
    const float s = f / (2.f + f), z = s * s;
    const float r = z * (0.6666666667f + z * (0.4f + z * (0.2857142857f + z * 0.2222222222f)));
    // log m = f - s (f - r), which loses nothing where f is small
    const float y = e * 0.693359375f + (e * -2.12194440e-4f + (f - s * (f - r)));
    const float edge = x == 0  ? -__builtin_inff()
                       : x > 0 ? x
                               : not_a_number<float>();  // 0, inf, negative, NaN
    return x > 0 && x < __builtin_inff() ? y : edge;
}
DEMI_INLINE double log_of(double x) { return __builtin_log(x); }
DEMI_INLINE float root(float x) { return __builtin_sqrtf(x); }
DEMI_INLINE double root(double x) { return __builtin_sqrt(x); }
// Below -708 e^-x would overflow.
DEMI_INLINE double sigmoid_of(double x) { return x < -708 ? __builtin_exp(x) : 1 / (1 + __builtin_exp(-x)); }

// A function is a type with a static at(); a, b, c are operands, p and q numbers.
#define DEMI_FN1(name, expression) \
    struct name { \
        template <class T> DEMI_INLINE static T at(T a, [[maybe_unused]] T p, [[maybe_unused]] T q) { \
            return expression; \
        } \
    };
#define DEMI_FN2(name, expression) \
    struct name { \
        template <class T> DEMI_INLINE static T at(T a, T b, [[maybe_unused]] T p, [[maybe_unused]] T q) { \
            return expression; \
        } \
    };
#define DEMI_FN3(name, expression) \
    struct name { \
        template <class T> DEMI_INLINE static T at(T a, T b, T c, T, T) { return expression; } \
    };

DEMI_FN1(Copy, a)
DEMI_FN1(Neg, -a)
DEMI_FN1(Exp, __builtin_exp(a))
DEMI_FN1(Log, log_of(a))
DEMI_FN1(Sqrt, root(a))
DEMI_FN1(Square, a* a)
DEMI_FN1(Abs, a < 0 ? -a : a + T(0))
DEMI_FN1(Sigmoid, sigmoid_of(a))
DEMI_FN1(Tanh, __builtin_tanh(a))
DEMI_FN1(Pow, pow(a, p))
DEMI_FN1(Clamp, a < p ? p : (a > q ? q : a))
DEMI_FN1(AddScalar, a + p)
DEMI_FN1(MulScalar, a* p)
DEMI_FN1(DivScalar, a / p)
DEMI_FN1(RSub, p - a)
DEMI_FN1(RDiv, p / a)
DEMI_FN2(Add, a + b)
DEMI_FN2(Sub, a - b)
DEMI_FN2(Mul, a* b)
DEMI_FN2(Div, a / b)
DEMI_FN2(Maximum, a > b || !(a == a) ? a : b)
DEMI_FN2(Minimum, a < b || !(a == a) ? a : b)
DEMI_FN2(Eq, T(a == b))
DEMI_FN2(Ne, T(a != b))
DEMI_FN2(Lt, T(a < b))
DEMI_FN2(Le, T(a <= b))
DEMI_FN2(LogGrad, a / b)
DEMI_FN2(SqrtGrad, a / (b + b))
DEMI_FN2(SquareGrad, square_grad(a, b))
DEMI_FN2(AbsGrad, b > 0 ? a : (b < 0 ? -a : T(0)))
DEMI_FN2(SigmoidGrad, a*(b*(1 - b)))
DEMI_FN2(TanhGrad, a*(1 - b * b))
DEMI_FN2(PowGrad, pow_grad(a, b, p))
DEMI_FN2(ClampGrad, b >= p && b <= q ? a : T(0))
DEMI_FN2(Clear, a == b ? T(0) : T(0))
DEMI_FN2(KeepWhere, b != 0 ? a : T(0))
DEMI_FN2(DropWhere, b != 0 ? T(0) : a)
DEMI_FN2(FillWhere, b != 0 ? p : a)
DEMI_FN3(GreaterGrad, b > c ? a : (b == c ? a / 2 : T(0)))
DEMI_FN3(Where, a != 0 ? b : c)

template <class T, class F> void row1(T* out, const T* const* in, int64_t count, T p, T q) {
    const T* a = in[0];
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) out[i] = F::at(a[i], p, q);
}
template <class T, class F> void row2(T* out, const T* const* in, int64_t count, T p, T q) {
    const T *a = in[0], *b = in[1];
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) out[i] = F::at(a[i], b[i], p, q);
}
template <class T, class F> void row3(T* out, const T* const* in, int64_t count, T p, T q) {
    const T *a = in[0], *b = in[1], *c = in[2];
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) out[i] = F::at(a[i], b[i], c[i], p, q);
}

// -(a b) / c^2 with the plain formula, and again where that does not do. kNumber: b is p.
template <class T, bool kNumber> void div_grad_row(T* out, const T* const* in, int64_t count, T p, T) {
    constexpr int64_t kSome = 256;
    const T *a = in[0], *b = in[1], *c = in[kNumber ? 1 : 2];
    const auto numerator = [&](int64_t i) { return kNumber ? p : b[i]; };
    for (int64_t at = 0; at < count; at += kSome) {
        const int64_t end = at + kSome < count ? at + kSome : count;
        decltype(needs_care(p, p, p)) care = 0;
#pragma GCC ivdep
        for (int64_t i = at; i < end; ++i) {
            out[i] = plain_div_grad(a[i], numerator(i), c[i]);
            care |= needs_care(a[i], numerator(i), c[i]);
        }
        for (int64_t i = at; care != 0 && i < end; ++i)
            if (needs_care(a[i], numerator(i), c[i]) != 0)
                out[i] = careful_div_grad(a[i], numerator(i), c[i]);
    }
}

template <vf (*function)(vf)>
void vector_row(float* out, const float* const* in, int64_t count, float, float) {
    const float* a = in[0];
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) storeu(out + i, function(loadu(a + i)));
    const int rest = static_cast<int>(count - i);
    if (rest > 0) store_n(out + i, function(load_n(a + i, rest)), rest);
}
vf exp_v(vf x) { return exp(x); }
vf sigmoid_v(vf x) { return sigmoid(x); }
vf tanh_v(vf x) { return tanh(x); }

// In the order of ElementFn.
#define DEMI_ROWS(T, exp_row, sigmoid_row, tanh_row) \
    { \
        row1<T, Copy>, row1<T, Neg>, exp_row, row1<T, Log>, row1<T, Sqrt>, row1<T, Square>, row1<T, Abs>, \
            sigmoid_row, tanh_row, row1<T, Pow>, row1<T, Clamp>, row1<T, AddScalar>, row1<T, MulScalar>, \
            row1<T, DivScalar>, row1<T, RSub>, row1<T, RDiv>, row2<T, Add>, row2<T, Sub>, row2<T, Mul>, \
            row2<T, Div>, row2<T, Maximum>, row2<T, Minimum>, row2<T, Eq>, row2<T, Ne>, row2<T, Lt>, \
            row2<T, Le>, row2<T, LogGrad>, row2<T, SqrtGrad>, row2<T, SquareGrad>, row2<T, AbsGrad>, \
            row2<T, SigmoidGrad>, row2<T, TanhGrad>, row2<T, PowGrad>, row2<T, ClampGrad>, \
            div_grad_row<T, true>, row2<T, Clear>, row2<T, KeepWhere>, row2<T, DropWhere>, \
            row2<T, FillWhere>, div_grad_row<T, false>, row3<T, GreaterGrad>, row3<T, Where> \
    }

constexpr ElementwiseIsa make_table() {
    ElementwiseIsa table = {
        DEMI_ROWS(float, vector_row<exp_v>, vector_row<sigmoid_v>, vector_row<tanh_v>),
        DEMI_ROWS(double, (row1<double, Exp>), (row1<double, Sigmoid>), (row1<double, Tanh>)),
        {},
    };
    table.i64[static_cast<int>(ElementFn::maximum)] = row2<int64_t, Maximum>;
    table.i64[static_cast<int>(ElementFn::minimum)] = row2<int64_t, Minimum>;
    table.i64[static_cast<int>(ElementFn::eq)] = row2<int64_t, Eq>;
    table.i64[static_cast<int>(ElementFn::ne)] = row2<int64_t, Ne>;
    table.i64[static_cast<int>(ElementFn::lt)] = row2<int64_t, Lt>;
    table.i64[static_cast<int>(ElementFn::le)] = row2<int64_t, Le>;
    table.i64[static_cast<int>(ElementFn::where)] = row3<int64_t, Where>;
    return table;
}

}  // namespace

extern const ElementwiseIsa elementwise_isa;
constexpr ElementwiseIsa elementwise_isa = make_table();

}  // namespace demi::DEMI_ISA_NS
