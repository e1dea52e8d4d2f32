#pragma once
// Internal: scaled_index_add's kernels. Strides count elements; rows are (b, m), columns d.
#include "ops/boundary/boundary_cuda.h"
#include "ops/index/row_tiles_cuda.h"

namespace demi::gpu_kernels {

// A tensor [rows, M, D] of any strides.
struct AddOperand {
    const void* data;
    int64_t row_step, m_step, step;
    Storage storage;
    Cast cast;
};

struct AddForward {
    AddOperand input, source;
    const void* scaling;  // null: ones
    int64_t scaling_step;
    Storage scaling_storage;
    Cast scaling_cast, result_cast;
    void* out;  // contiguous
    Storage to;
    float alpha;
    int64_t M;
    RowTiles tiles;  // of out
    SortedRows uses;
    bool in_place, wide, f64;
    CastSums* sums;  // null, or of input, source, scaling, result
    // The quick kernel looks for uses in a short list itself, else in `uses`.
    int64_t B;
    const int64_t* list;  // null: not short
    int64_t listed;
    bool wide_scaling;  // eight at a time
};
void launch_add(const AddForward& call, gpu::Stream stream);

// For wide operands of one storage, but for scaling: one pass with several loads on their way per thread.
constexpr int64_t kShortList = 128;
bool is_quick(const AddForward& call);
void launch_add_quick(const AddForward& call, gpu::Stream stream);

constexpr int64_t kSumTiles = 64;  // partial sums of the gradient of scaling: as the CPU cuts them
constexpr int64_t kLeastRows = 128;

struct AddBackward {
    AddOperand dy, source;  // source: only for the gradient of scaling
    const int64_t* index;
    const void* scaling;  // null: ones
    int64_t scaling_step;
    Storage scaling_storage;
    Cast scaling_cast, exit_cast;
    void* grad_source;  // contiguous; null: not wanted
    Storage to;
    float alpha;
    int64_t M, rows, columns;  // rows = uses * M
    int64_t bundle, bundles;   // rows in one partial sum; all of them
    void* partial;             // bundles x columns, f32; null: the gradient of scaling is not wanted
    void* sums;                // columns, f32 or f64
    bool wide, f64;
    CastSums* counters;  // null, or of dy, exit
};
void launch_add_backward(const AddBackward& call, gpu::Stream stream);

// For wide tensors of one storage, but for scaling; leaves the partial sums to launch_add_backward.
bool is_quick(const AddBackward& call);
void launch_add_backward_quick(const AddBackward& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
