#pragma once
// Internal, for the .cu files of scaled_index_add: the usual case, where all but scaling can be read eight columns at a time.
#include "ops/boundary/boundary_cuda.h"
#include "ops/index/rows_cuda.h"
#include "ops/scaled_index_add/scaled_index_add_kernels.h"

namespace demi::gpu_kernels {

// How the rows (b, m) of the backward pass are cut: see rows_of_part. gridDim.y counts the parts.
struct RowParts {
    int64_t rows, parts, all;  // of a part; how many; rows of all
    DEMI_DEVICE int64_t end(int64_t part) const {
        const int64_t end = part * rows + rows;
        return end < all ? end : all;
    }
    unsigned blocks() const { return static_cast<unsigned>(parts < 65535 ? parts : 65535); }
};
inline RowParts parts_of(const ScaledIndexAddBackward& c) {
    const int64_t rows = rows_of_part(c), all = c.uses * c.M;
    return {rows, (all + rows - 1) / rows, all};
}

// Uses in a list as short as this are found by the kernel itself, others in `uses`.
constexpr int64_t kShortList = 128;
bool fits_aligned(const ScaledIndexAddForward& call);
void add_aligned(const ScaledIndexAddForward& call, const SortedRows& uses, Queue queue);

bool fits_aligned(const ScaledIndexAddBackward& call);
// The partial sums [parts, D] are for the caller to add.
void add_backward_aligned(const ScaledIndexAddBackward& call, const RowParts& cut, float* partial,
                          Queue queue);

}  // namespace demi::gpu_kernels
