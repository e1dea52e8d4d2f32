#pragma once
// How one tensor crosses the fp16 boundary, and what that lost (see ops/boundary/boundary.h). Plain
// structs, which kernels see too.
#include "runtime/element.h"

namespace demi {

// y = fp16(x * scale) * undo, in f32 registers; scale and undo are powers of two. Without `round`, y = x * scale * undo.
// `saturate` limits x * scale to +-65504 before it is rounded (infinities too; NaN stays NaN). `count` counts what rounding
// loses, by the values of x * scale.
struct Cast {
    float scale = 1;
    float undo = 1;
    bool round = false;
    bool saturate = false;
    bool count = false;
};

// What was rounded to fp16. Kernels add to one in their own memory: on a GPU in the device's.
struct CastCounters {
    int64_t elements = 0;   // rounded to fp16
    int64_t to_inf = 0;     // |x| >= 65520, infinities that came as such included
    int64_t nan = 0;        // NaN that came as such
    int64_t to_zero = 0;    // x != 0, result 0
    int64_t subnormal = 0;  // result below 2^-14 and not 0: kept with fewer digits
    double amax = 0;        // largest |x| as it crossed (scaled), NaN left out
    int64_t pending = 0;    // counters on a GPU that still have to be added (ops/boundary/pending_counts.h)
};

}  // namespace demi
