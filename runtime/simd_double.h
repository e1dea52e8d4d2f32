#pragma once
// double as a vector of one lane, with the names of vf: a kernel that is a template over the vector type computes f64
// with the same lines. f64 exists to check gradients: plain order, a product and a sum are rounded each.

namespace demi::DEMI_BACKEND {

// What elements of type T are computed in: one lane, and a vector of kLanesOf<T> lanes.
template <class T> struct ComputedIn {
    typedef float lane;
    typedef vf vector;
};
template <> struct ComputedIn<double> { typedef double lane, vector; };
template <class T> using lane_t = typename ComputedIn<T>::lane;
template <class T> using vector_t = typename ComputedIn<T>::vector;
template <class T> constexpr int kLanesOf = kLanes;
template <> constexpr int kLanesOf<double> = 1;

// All lanes x.
template <class T> DEMI_INLINE vector_t<T> splat(lane_t<T> x) {
    if constexpr (kLanesOf<T> == 1)
        return x;
    else
        return broadcast(x);
}

DEMI_INLINE double loadu(const double* p) { return *p; }
DEMI_INLINE void storeu(double* p, double x) { *p = x; }
DEMI_INLINE double load_n(const double* p, int) { return *p; }
DEMI_INLINE void store_n(double* p, double x, int) { *p = x; }

DEMI_INLINE double fma(double a, double b, double c) { return a * b + c; }
DEMI_INLINE double fnma(double a, double b, double c) { return c - a * b; }
DEMI_INLINE double select(bool m, double yes, double no) { return m ? yes : no; }
DEMI_INLINE double min(double a, double b) { return a < b ? a : b; }
DEMI_INLINE double max(double a, double b) { return a > b ? a : b; }
DEMI_INLINE double abs(double a) { return __builtin_fabs(a); }
DEMI_INLINE double sqrt(double a) { return __builtin_sqrt(a); }
DEMI_INLINE double exp(double a) { return __builtin_exp(a); }
DEMI_INLINE double tanh(double a) { return __builtin_tanh(a); }
DEMI_INLINE bool less(double a, double b) { return a < b; }
DEMI_INLINE bool less_equal(double a, double b) { return a <= b; }
DEMI_INLINE bool equal(double a, double b) { return a == b; }
DEMI_INLINE bool any(bool m) { return m; }
DEMI_INLINE bool mask_and(bool a, bool b) { return a && b; }
DEMI_INLINE bool mask_not(bool m) { return !m; }
DEMI_INLINE double scale_by_exponent(double x, double n) { return __builtin_ldexp(x, static_cast<int>(n)); }
DEMI_INLINE double hsum(double x) { return x; }
DEMI_INLINE double hmax(double x) { return x; }

DEMI_INLINE double sigmoid(double x) {
    const double e = __builtin_exp(-__builtin_fabs(x));
    return x < 0 ? e / (1 + e) : 1 / (1 + e);
}
struct SiluParts64 {
    double value, slope, scale;
};
DEMI_INLINE SiluParts64 silu_parts(double x) {
    if (x < -708) {
        const double e = __builtin_exp(x + 300);
        return {x * e, e * (1 + x), 5.1482002224120116e-131};  // e^-300
    }
    const double s = sigmoid(x);
    return {x * s, s * (1 + x * (1 - s)), 1};
}

}  // namespace demi::DEMI_BACKEND
