#pragma once
// Internal: rows of f32 in the first-level cache, per instruction set. No contraction anywhere.
#include <cstdint>

namespace demi {

struct ScaledIndexAddIsa {
    void (*add)(float* x, const float* factor, const float* source,
                int64_t count);                                                   // x = factor * source + x
    void (*add_one)(float* x, float factor, const float* source, int64_t count);  // the same, one factor
    void (*scale)(float* x, float factor, int64_t count);                         // x = factor * x
    void (*multiply)(float* out, const float* a, const float* b, int64_t count);  // out = a * b
};

const ScaledIndexAddIsa& scaled_index_add_isa();

}  // namespace demi
