#pragma once
// Internal: sums and maxima over contiguous rows, one table per instruction set.
#include <cstdint>

namespace demi {

template <class T> struct ReduceRows {
    T (*sum)(const T* x, int64_t count);
    T (*max)(const T* x, int64_t count);                              // count >= 1; NaN where there is one
    void (*multiply)(T* out, const T* a, const T* b, int64_t count);  // null for integers
    // acc[i] += (x[0][i] + x[1][i]) + (x[2][i] + x[3][i]), and for one row alone
    void (*add_four)(T* acc, const T* const* x, int64_t count);
    void (*add_one)(T* acc, const T* x, int64_t count);
};

struct ReduceIsa {
    ReduceRows<float> f32;
    ReduceRows<double> f64;
    ReduceRows<int64_t> i64;  // sums wrap around
};

}  // namespace demi
