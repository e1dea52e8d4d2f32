#pragma once
// Internal: strided elements of any dtype to and from a row of the type that arithmetic runs in.
#include "runtime/dtype.h"

namespace demi {

// dst[i] = base[at + i * step] for i < count; C is float, double or, for integers and bool, int64_t.
template <class C>
using LoadRow = void (*)(C* dst, const void* base, int64_t at, int64_t step, int64_t count);
template <class C> LoadRow<C> row_loader(DType from);

// base[at + i * step] = src[i], rounded once. From double to f64, from float to f16, bf16 and f32, from
// int64_t to integers; from all three to bool.
template <class C>
using StoreRow = void (*)(void* base, int64_t at, int64_t step, const C* src, int64_t count);
template <class C> StoreRow<C> row_storer(DType to);

// A tensor that is read row by row: where it lies, or brought into a block.
template <class C> struct RowSource {
    const void* base = nullptr;
    int64_t step = 0;
    LoadRow<C> load = nullptr;
    bool in_place = false;  // contiguous elements of type C

    // Elements [begin, begin + count) of the row at `at`.
    DEMI_INLINE const C* row(int64_t at, int64_t begin, int64_t count, C* block) const {
        if (in_place) return static_cast<const C*>(base) + at + begin;
        if (step != 0) {
            load(block, base, at + begin * step, step, count);
        } else {
            load(block, base, at, 1, 1);
            for (int64_t i = 1; i < count; ++i) block[i] = block[0];
        }
        return block;
    }
};

}  // namespace demi
