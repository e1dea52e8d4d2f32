#pragma once
// Internal: the memory operations on any strides and dtypes; see copy.h.
#include "runtime/backends.h"
#include "runtime/strided.h"

namespace demi {

// Elements of dst and of src, in this order.
struct CopyCall {
    Mem dst;
    ConstMem src;
    Strided<2> walk;
};
struct FillCall {
    Mem dst;
    double value;
    Strided<1> walk;
};
struct FiniteCall {
    ConstMem x;  // floats
    Strided<1> walk;
    uint32_t* bad;  // on the device, 0 before; becomes 1 where an element is infinite or NaN
};

struct CopyKernels {
    void (*copy)(const CopyCall& call, Queue queue);
    void (*accumulate)(const CopyCall& call, Queue queue);
    void (*fill)(const FillCall& call, Queue queue);
    void (*find_not_finite)(const FiniteCall& call, Queue queue);
    // Of the CPU: contiguous, both of f16, bf16 and f32, by this thread.
    void (*convert)(Mem dst, ConstMem src, int64_t count);
};
DEMI_BACKENDS(CopyKernels, copy)

}  // namespace demi
