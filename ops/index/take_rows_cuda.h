#pragma once
// Internal: rows picked by an index list: y[a][i] = x[a][index[a * step + i]] for rows of `bytes` bytes; x
// [a, s], y [a, n] rows. step: 0 where one list of n serves all, n where every a has its own.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

struct TakeRowsCall {
    const void* x;
    void* y;
    const int64_t* index;
    int64_t a, s, n, step, bytes;
};
void take_rows(const TakeRowsCall& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
