#pragma once
// The kernels behind every sum and maximum.
#include "runtime/backends.h"

namespace demi {

constexpr int kMaxSumGroups = 8;  // as many dimensions as a Shape has

// Neighbouring dimensions, all kept or all reduced, merged where x and y allow it; steps in elements.
struct SumGroup {
    int64_t size, x_step, y_step;
    bool reduced;
};

// out = scale * sum of x * y (of x, where y is absent) over the reduced groups, one rounding to out's dtype. Sums in f32
// within a block of fixed size, in f64 over blocks; f64 throughout where x or y is f64 (then out is f64 too). Where out is
// i64, x holds integers or bool, y is absent and scale 1: exact, wrapping around.
struct ReduceSum {
    ConstMem x, y;
    Mem out;  // contiguous
    int64_t out_count;
    double scale;
    int group_count;
    SumGroup groups[kMaxSumGroups];  // without sizes of 1; on the CPU kept and reduced ones take turns
};

// x [rows, length], length >= 1: values [rows] of x's dtype, indices [rows] i64, the first largest (or smallest) element of
// every row; NaN comes before all others. All contiguous.
struct ReduceMax {
    ConstMem x;
    Mem values, indices;
    int64_t rows, length;
    bool smallest;
};

struct ReduceKernels {
    void (*sum)(const ReduceSum& call, Queue queue);
    void (*max)(const ReduceMax& call, Queue queue);
};
DEMI_BACKENDS(ReduceKernels, reduce)

}  // namespace demi
