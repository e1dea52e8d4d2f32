#pragma once
#include "ops/boundary/boundary_kernels.h"

namespace demi {

// Rows of one source [rows, columns] of any strides on their way into y. Offsets and strides count elements.
struct SelectPart {
    ConstMem source;
    int64_t row_step, step, columns;
    const int64_t* list;  // `count` row numbers in range
    int64_t count;
    int64_t begin;  // of its elements of y
    Cast cast;
};
// y is contiguous, [elements]. Dtypes: all f64, or any mixture of f32, bf16 and f16; the same below.
struct IndexSelectCatForward {
    const SelectPart* parts;  // on the host
    int64_t part_count;
    Mem y;
    int64_t elements;
    CastCounters* lost;  // of all sources; null: not counted
};

// The gradient [rows, columns] of one source, contiguous: zeros, plus the rows of dy from `begin` on that the list sends to it.
struct SelectGradient {
    Mem grad;
    int64_t rows, columns;
    const int64_t* list;
    int64_t count;
    int64_t begin;
};
// Every element of dy crosses as `entry`. A row named once leaves with exit's undo; the f32 sum of a row named more often
// leaves as `exit`.
struct IndexSelectCatBackward {
    ConstMem dy;
    int64_t step;                 // of dy
    const SelectGradient* grads;  // on the host
    int64_t grad_count;
    Cast entry, exit;
    CastCounters *entered, *left;  // null: not counted
};
using IndexSelectCatKernels = ForwardBackward<IndexSelectCatForward, IndexSelectCatBackward>;
DEMI_BACKENDS(IndexSelectCatKernels, index_select_cat)

}  // namespace demi
