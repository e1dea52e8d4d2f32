#pragma once
// Internal: what a pickle says of a tensor, checked against its storage.
#include "runtime/checkpoint/pickle.h"
#include "runtime/tensor.h"

namespace demi {

struct TorchDType {
    std::string_view storage;  // "FloatStorage"
    const char* name;          // "F32"
    int64_t bytes;
    bool known;  // whether demi has it
    DType dtype;
};

struct TorchTensor {
    std::string key;  // of the storage: its entry is data/KEY
    const TorchDType* dtype = nullptr;
    int64_t storage_numel = 0, offset = 0;  // in elements
    Shape shape, strides;

    int64_t bytes(int64_t elements) const { return elements * dtype->bytes; }
    bool contiguous() const;
    int64_t span() const;  // elements from the first to the last; 0 where there is none
};

// Throws Error naming the tensor: rank, sizes, strides and offset must lie inside the storage, and no two elements of the
// tensor may be the same element of it in number.
TorchTensor read_torch_tensor(const Pickle& pickle, uint32_t id, const std::string& name,
                              const std::string& path);

}  // namespace demi
