#pragma once
// Internal, for the *_cpu.cpp files of the index operators: at which positions a list names each row, and their sizes.
#include "ops/kernel_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr int64_t kStreamBytes = 16 << 20;  // larger outputs go past the caches

DEMI_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
DEMI_INLINE int64_t size_in_bytes(DType dtype) { return static_cast<int64_t>(size_of(dtype)); }

// The positions that name row r are place(begin(r)) ... place(end(r) - 1), in the order of the list.
class RowUses {
  public:
    DEMI_INLINE RowUses(const int64_t* list, int64_t count, int64_t rows, Queue queue)
        : memory_(2 * rows + 1 + count, queue), first_(memory_.data()), places_(first_ + rows + 1) {
        int64_t* next = places_ + count;
        for (int64_t r = 0; r <= rows; ++r) first_[r] = 0;
        for (int64_t i = 0; i < count; ++i) ++first_[list[i] + 1];
        for (int64_t r = 1; r <= rows; ++r) first_[r] += first_[r - 1];
        for (int64_t r = 0; r < rows; ++r) next[r] = first_[r];
        for (int64_t i = 0; i < count; ++i) places_[next[list[i]]++] = i;
    }
    DEMI_INLINE ~RowUses() {}

    DEMI_INLINE int64_t begin(int64_t row) const { return first_[row]; }
    DEMI_INLINE int64_t end(int64_t row) const { return first_[row + 1]; }
    DEMI_INLINE int64_t place(int64_t use) const { return places_[use]; }

  private:
    LocalScratch<int64_t, 256> memory_;
    int64_t *first_, *places_;
};

}  // namespace
}  // namespace demi::DEMI_BACKEND
