#pragma once
// Kernels of gather and index_select. Everything is contiguous, and there is at least one element to write.
#include "runtime/backends.h"

namespace demi {

// y[a][i] = x[a][index[a * step + i]] for x [a, s] and y [a, n], rows of `width` elements of any dtype. step: 0 where one list
// of n serves all, n where every a has its own.
struct TakeRows {
    ConstMem x;
    Mem y;
    const int64_t* index;
    int64_t a, s, n, step, width;
};
// dx[a][r] = sum of dy[a][i] over the i that index [n] sends to r, in their order and rounded once; rows of `width` elements.
struct AddRows {
    ConstMem dy;
    Mem dx;
    const int64_t* index;
    int64_t a, s, n, width;
};
// The same for single elements, where every a has its own list: index is [a, n].
struct AddElements {
    ConstMem dy;
    Mem dx;
    const int64_t* index;
    int64_t a, s, n;
};
struct IndexKernels {
    void (*take_rows)(const TakeRows& call, Queue queue);
    void (*add_rows)(const AddRows& call, Queue queue);
    void (*add_elements)(const AddElements& call, Queue queue);
};
DEMI_BACKENDS(IndexKernels, index)

}  // namespace demi
