#pragma once
#include "ops/boundary/boundary_kernels.h"

namespace demi {

// A tensor [rows, M, D] of any strides, in elements, and how it crosses the boundary. scaling is [1, 1, D].
struct AddOperand {
    ConstMem x;
    int64_t row_step, m_step, step;
    Cast cast;
    CastCounters* lost;  // null: not counted
};
// Contiguous.
struct AddResult {
    Mem y;
    Cast cast;
    CastCounters* lost;
};

// Dtypes: all f64, or any mixture of f32, bf16 and f16. index holds `uses` numbers in [0, B). There is at least one element.
struct AddedRows {
    const int64_t* index;
    int64_t uses, B, M, D;
    float alpha;
};
struct ScaledIndexAddForward : AddedRows {
    AddOperand input, source, scaling;  // scaling without data: ones
    AddResult out;                      // may be input, with in_place
    bool in_place;                      // rows that are not named stay as they are
};
struct ScaledIndexAddBackward : AddedRows {
    AddOperand dy, source, scaling;  // source: for sums only
    AddResult grad_source;           // [uses, M, D]; without data: not wanted
    Mem sums;  // [D] in f32, or f64: the gradient of scaling, with what dy was scaled by; without data: not wanted
};
using ScaledIndexAddKernels = ForwardBackward<ScaledIndexAddForward, ScaledIndexAddBackward>;
DEMI_BACKENDS(ScaledIndexAddKernels, scaled_index_add)

// `sums` are added in parts: of this many rows (b, m) each, in order; then the parts in order. f64: one part.
DEMI_HOST_DEVICE int64_t rows_of_part(const ScaledIndexAddBackward& c) {
    constexpr int64_t kMostParts = 64, kLeastRows = 128;
    const int64_t rows = c.uses * c.M, part = (rows + kMostParts - 1) / kMostParts;
    if (c.dy.x.dtype == DType::f64 && c.sums.data != nullptr) return rows;
    return part > kLeastRows && c.sums.data != nullptr ? part : kLeastRows;
}

}  // namespace demi
