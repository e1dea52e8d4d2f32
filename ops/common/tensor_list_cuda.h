#pragma once
// Internal: many tensors in one launch. A block takes a chunk of one of them; the list of tensors and chunks
// lies in device memory (ops/common/tensor_list.h builds it). Chunks are cut from the sizes only.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

struct ListEntry {
    void* data[4];  // of the tensors that belong together, each with `count` elements
    int64_t count;
    const double* factor;  // null, or a number that only the device knows; not finite: leave the entry alone
    DType type[2];     // of data[0] and data[1]
    bool aligned;          // all of data start 16-byte lines
    int32_t group;         // entries of a group have the same numbers
};
struct ListChunk {
    int32_t entry, number;
};
constexpr int64_t kListChunk = 16384;  // elements

struct TensorList {
    const ListEntry* entries;
    const ListChunk* chunks;
    int64_t count;  // of chunks
};

}  // namespace demi::gpu_kernels
