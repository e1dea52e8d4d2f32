#pragma once
// Internal: for every bin the positions of an index list that name it, in their order: what a sum in index
// order needs. Position i names bin (i / n) * s + index[i].
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

struct PositionsCall {
    const int64_t* index;
    int64_t count, n, s, bins;
    // Those of bin b are list[first[b]] .. list[first[b + 1] - 1].
    uint64_t* first;  // bins + 1
    int64_t* list;    // count
    // Scratch.
    uint64_t* next;      // bins
    uint64_t* totals;    // scan_blocks(bins)
    int64_t* unordered;  // count
};
constexpr int64_t kScanBlock = 2048;
DEMI_HOST_DEVICE int64_t scan_blocks(int64_t bins) { return (bins + kScanBlock - 1) / kScanBlock; }
void find_positions(const PositionsCall& call, gpu::Stream stream);

// dx[a][r] = sum of dy[a][i] over the positions i of bin r, in order and rounded once; x [a, s, width], y [a,
// n, width].
struct AddRowsCall {
    const void* dy;
    void* dx;
    const uint64_t* first;
    const int64_t* list;
    int64_t a, s, n, width;
};
void add_rows(DType type, const AddRowsCall& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
