#pragma once
// Internal: small tables (pointers, weights) that kernels read from device memory. A table with the same
// bytes as one seen before is not sent again.
#include <cstddef>
#include <vector>

#include "runtime/tensor.h"

namespace demi {

// The bytes as a u8 tensor on `device`, 64-byte aligned. Keep the tensor until the kernel is launched.
Tensor device_table(Device device, const void* bytes, size_t count);

// Collects arrays of plain data into one table; each starts at a multiple of 16 bytes.
class TableBuilder {
  public:
    template <class T> size_t add(const std::vector<T>& values) {
        return add(values.data(), values.size() * sizeof(T));
    }
    size_t add(const void* bytes, size_t count);  // gives its offset
    Tensor send(Device device) const { return device_table(device, bytes_.data(), bytes_.size()); }

  private:
    std::vector<char> bytes_;
};

template <class T> const T* table_at(const Tensor& table, size_t offset) {
    return reinterpret_cast<const T*>(static_cast<const char*>(table.raw()) + offset);
}

}  // namespace demi
