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

}  // namespace demi
