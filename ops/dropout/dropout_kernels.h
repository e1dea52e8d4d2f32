#pragma once
#include "runtime/backends.h"

namespace demi {

// Forward on x, backward on dy. Contiguous, one dtype, at least one element, y apart from x. Group g holds the elements
// [g * width, (g + 1) * width): it is kept, and multiplied by scale, where (word g of the draw >> 8) >= threshold;
// else it becomes 0. dropout has groups of one element, drop_path one for each sample.
struct Drop {
    ConstMem x;
    Mem y;
    int64_t count, width;
    uint64_t seed, offset;  // the draw's first word; see runtime/random.h
    const uint64_t* live;   // null, or where on the device the offset is to be read (captured steps)
    uint32_t threshold;
    double scale;
};
struct DropoutKernels {
    void (*drop)(const Drop& call, Queue queue);
};
DEMI_BACKENDS(DropoutKernels, dropout)

}  // namespace demi
