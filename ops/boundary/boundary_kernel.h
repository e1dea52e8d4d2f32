#pragma once
// What kernels know of the fp16 boundary (see ops/boundary/boundary.h): plain structs, safe in *_isa.cpp files.
#include <cstdint>

namespace demi {

enum class BoundaryMode : uint8_t { strict, wide, off };

// What memory holds. f64 never crosses the boundary.
enum class Storage : uint8_t { f32, f16, bf16 };

// How one operand crosses: y = fp16(x * scale) * undo, in f32 registers. scale and undo are powers of two.
// Without `round`, y = x * scale * undo. `saturate` limits x * scale to +-65504 first (infinities too; NaN
// stays NaN). `count` fills the counters from x * scale; without `round` nothing is lost and nothing is
// counted.
struct Cast {
    float scale = 1;
    float undo = 1;
    bool round = false;
    bool saturate = false;
    bool count = false;
};

// What a cast did. Kernels fill one per tile and operand; tiles are merged in their order.
struct CastCounters {
    int64_t elements = 0;  // rounded to fp16
    int64_t to_inf = 0;    // |x| >= 65520, infinities that came as such included
    int64_t nan = 0;
    int64_t to_zero = 0;    // x != 0, result 0
    int64_t subnormal = 0;  // result below 2^-14, not 0: kept with fewer digits
    double amax = 0;        // largest |x| as it crossed (scaled), NaN left out
    int64_t pending = 0;    // what a GPU counted besides, not read yet: ops/boundary/pending_counts.h
};

// Block routines, compiled for every instruction set. `counters` may be null where cast.count is false.
struct BoundaryIsa {
    // dst[i] = cast(src[i * step]) for i in [0, count): loads, rounds and counts in one pass. `stream` writes
    // past the caches (for outputs that nobody reads soon).
    void (*load)(float* dst, const void* src, Storage from, int64_t count, int64_t step, const Cast& cast,
                 CastCounters* counters, bool stream);
    // dst[i] = to(cast(src[i])), rounded to nearest even.
    void (*store)(void* dst, Storage to, const float* src, int64_t count, const Cast& cast,
                  CastCounters* counters, bool stream);
    // The largest finite |src[i * step]|; infinities and NaN are left out.
    float (*amax)(const void* src, Storage from, int64_t count, int64_t step);
};

const BoundaryIsa& boundary_isa();

}  // namespace demi
