#pragma once
// Internal: memory of the host for tensors and scratch, aligned to 64 bytes. On Linux it lies in huge pages
// where the system lends them on request (transparent_hugepage at madvise or always): the rows of a matrix
// are far apart, and each small page of theirs costs a walk through the page tables.
#include <stddef.h>
#include <stdint.h>

#include "runtime/non_copyable.h"

namespace demi {

void* host_allocate(size_t bytes);  // nullptr when memory is short
void host_release(void* pointer) noexcept;

// Memory for floats that grows and never shrinks. What it held is lost when it grows.
class HostWorkspace : NonCopyable {
  public:
    HostWorkspace() = default;
    ~HostWorkspace();
    float* reserve(int64_t floats);  // throws std::bad_alloc

  private:
    float* data_ = nullptr;
    int64_t size_ = 0;
};

}  // namespace demi
