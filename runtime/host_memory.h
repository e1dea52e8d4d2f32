#pragma once
// Internal: memory of the host for tensors and scratch, aligned to 64 bytes. On Linux it lies in huge pages
// where the system lends them on request (transparent_hugepage at madvise or always): the rows of a matrix
// are far apart, and each small page of theirs costs a walk through the page tables.
#include <cstddef>

namespace demi {

void* host_allocate(size_t bytes);  // nullptr when memory is short
void host_release(void* pointer) noexcept;

}  // namespace demi
