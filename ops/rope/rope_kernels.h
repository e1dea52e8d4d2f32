#pragma once
#include "runtime/backends.h"

namespace demi {

// x and y: contiguous [tokens, rows, 2 half], one dtype, at least one element; y is x's memory or apart from it. The
// first `rotated` rows of a token at position p >= 0 of its sequence (of prefix + positions tokens) are turned by the
// angles of table [2, positions, half], by their negatives where `back`; all else is copied.
struct Rope {
    ConstMem x, table;  // the table is f32, and f64 beside f64
    Mem y;
    int64_t tokens, prefix, positions, rows, rotated, half;
    bool back;
};
struct RopeKernels {
    void (*rotate)(const Rope& call, Queue queue);
};
DEMI_BACKENDS(RopeKernels, rope)

}  // namespace demi
