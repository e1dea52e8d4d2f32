#pragma once
// Internal, for the .cu files of scaled_index_add: the usual case, where all but scaling has one dtype other than f64, and its
// rows can be read sixteen bytes at a time.
#include "ops/boundary/boundary_cuda.h"
#include "ops/index/rows_cuda.h"
#include "ops/scaled_index_add/scaled_index_add_kernels.h"

namespace demi::gpu_kernels {

// Eight columns at a time.
inline bool in_eights(const AddOperand& x, int64_t columns) {
    return x.x.data == nullptr ||
           (x.x.dtype != DType::f64 && columns % 8 == 0 && x.step == 1 &&
            rows_aligned(x.x.data, x.row_step, x.x.dtype) && rows_aligned(x.x.data, x.m_step, x.x.dtype));
}
inline bool in_eights(const AddResult& y, int64_t columns) {
    return y.y.data == nullptr ||
           (y.y.dtype != DType::f64 && columns % 8 == 0 && rows_aligned(y.y.data, columns, y.y.dtype));
}

// Uses in a list as short as this are found by the kernel itself, others in `uses`.
constexpr int64_t kShortList = 128;
bool fits_aligned(const ScaledIndexAddForward& call);
void add_aligned(const ScaledIndexAddForward& call, const SortedRows& uses, Queue queue);

bool fits_aligned(const ScaledIndexAddBackward& call);
// The partial sums [parts, D] are for the caller to add.
void add_backward_aligned(const ScaledIndexAddBackward& call, float* partial, Queue queue);

}  // namespace demi::gpu_kernels
