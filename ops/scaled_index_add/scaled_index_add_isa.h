#pragma once
// Internal: rows of f32 in the first-level cache, per instruction set. No contraction anywhere.
#include <cstdint>

#include "ops/boundary/boundary_kernel.h"

namespace demi {

// Rows of out = factor * source + x that need no detour: one storage for all, unit steps, one source row, no
// saturation, out apart from x.
struct DirectAdd {
    const void *x, *source;
    void* out;
    const float* factor;                    // of one row
    int64_t rows, count;                    // count elements in each row
    int64_t x_step, source_step, out_step;  // from row to row, in elements
    Storage storage;
    bool round_x, round_source, round_out;  // strict: all, wide: source, off: none
    bool stream;
    CastCounters *x_counters, *source_counters, *out_counters;  // null: not counted
};

struct ScaledIndexAddIsa {
    void (*direct)(const DirectAdd& job);
    void (*add)(float* x, const float* factor, const float* source,
                int64_t count);                                                   // x = factor * source + x
    void (*add_one)(float* x, float factor, const float* source, int64_t count);  // the same, one factor
    void (*scale)(float* x, float factor, int64_t count);                         // x = factor * x
    void (*multiply)(float* out, const float* a, const float* b, int64_t count);  // out = a * b
};

const ScaledIndexAddIsa& scaled_index_add_isa();

}  // namespace demi
