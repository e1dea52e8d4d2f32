#pragma once
// Internal, for the *_cpu.cpp files of the index operators: at which positions a list names each row, and the gradient of
// rows that were taken.
#include "ops/boundary/boundary_cpu.h"

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

// Elements `step` apart, one after the other.
template <class T> DEMI_INLINE void gather_elements(void* to, const void* from, int64_t count, int64_t step) {
    for (int64_t i = 0; i < count; ++i) static_cast<T*>(to)[i] = static_cast<const T*>(from)[i * step];
}
DEMI_INLINE void copy_elements(void* to, const void* from, int64_t count, int64_t step, int64_t size) {
    if (step == 1)
        __builtin_memcpy(to, from, static_cast<size_t>(count * size));
    else if (size == 2)
        gather_elements<uint16_t>(to, from, count, step);
    else if (size == 4)
        gather_elements<uint32_t>(to, from, count, step);
    else
        gather_elements<uint64_t>(to, from, count, step);
}

// y (contiguous) = cast(x).
DEMI_INLINE void move(Mem y, ConstMem x, int64_t count, int64_t step, const Cast& cast, CastCounters* lost,
                      bool stream) {
    const bool same = x.dtype == y.dtype && !cast.round && cast.scale == 1 && cast.undo == 1;
    if (same && !(y.dtype == DType::f32 && stream && step == 1))
        return copy_elements(y.data, x.data, count, step, size_in_bytes(y.dtype));
    cross_row(y, x, count, step, cast, lost, stream);
}

// The gradient of rows that a list took one behind the other into y, from dy, that of y. Every element of dy crosses as `entry`.
// A row named once leaves with exit's undo; the sum in C of a row named more often leaves as `exit`.
template <class C> struct TakenRows {
    const RowUses& uses;
    ConstMem dy;
    int64_t step, width;  // of dy, and of a row
    Cast entry, exit;
    bool stream;
    CastCounters *entered, *left;

    // to = elements [column, column + count) of a row's gradient.
    void gradient(Mem to, int64_t row, int64_t column, int64_t count) const {
        const int64_t named = uses.end(row) - uses.begin(row);
        if (named == 0) {
            __builtin_memset(to.data, 0, static_cast<size_t>(count * size_in_bytes(to.dtype)));
        } else if (named == 1) {
            Cast cast = entry;
            cast.undo = exit.undo;
            move(to, of_use(uses.begin(row), column), count, step, cast, entered, stream);
        } else {
            sum(to, row, column, count);
        }
    }

  private:
    ConstMem of_use(int64_t use, int64_t column) const {
        return from(dy, (uses.place(use) * width + column) * step);
    }
    // Rows that meet in one, in the order of the list.
    void sum(Mem to, int64_t row, int64_t column, int64_t count) const {
        constexpr int64_t kBlock = 1024;  // elements on the way through the first-level cache
        C sum[kBlock], more[kBlock];
        for (int64_t i = 0; i < count; i += kBlock) {
            const int64_t n = least(kBlock, count - i);
            load_row(sum, of_use(uses.begin(row), column + i), n, step, entry, entered, false);
            for (int64_t use = uses.begin(row) + 1; use < uses.end(row); ++use) {
                load_row(more, of_use(use, column + i), n, step, entry, entered, false);
                for (int64_t j = 0; j < n; ++j) sum[j] += more[j];
            }
            store_row(from(to, i), sum, n, exit, left, false);
        }
    }
};

}  // namespace
}  // namespace demi::DEMI_BACKEND
