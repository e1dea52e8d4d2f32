#pragma once
// The arithmetic of the fp16 boundary for one number, on the host and on a GPU; and the kernels that take whole tensors
// across. Vectors of the CPU: boundary_cpu.h. What a thread of a GPU does: boundary_cuda.h.
#include "ops/boundary/cast.h"
#include "runtime/backends.h"
#include "runtime/strided.h"

namespace demi {

constexpr float kLargestHalf = 65504.0f;
constexpr float kHalfOverflow = 65520.0f;           // rounds to infinity from here on
constexpr float kHalfNormal = 0x1p-14f - 0x1p-25f;  // rounds to a subnormal number below it
constexpr float kHalfVanishes = 0x1p-25f;           // rounds to zero up to here
constexpr uint32_t kInfinityBits = 0x7f800000u;     // the same as bits of an f32's magnitude
constexpr uint32_t kOverflowBits = 0x477ff000u;
constexpr uint32_t kNormalBits = 0x387fe000u;
constexpr uint32_t kVanishBits = 0x33000000u;

// Counts a number on its way to fp16, scaled already. f64 is not rounded to f32 first.
template <class Counters, class T> DEMI_HOST_DEVICE void count_crossing(Counters& c, T scaled) {
    const T size = scaled < 0 ? -scaled : scaled;  // every comparison with NaN is false
    ++c.elements;
    c.nan += size != size ? 1 : 0;
    c.to_inf += size >= T(kHalfOverflow) ? 1 : 0;
    c.to_zero += size > 0 && size <= T(kHalfVanishes) ? 1 : 0;
    c.subnormal += size > T(kHalfVanishes) && size < T(kHalfNormal) ? 1 : 0;
    if (size > c.amax) c.amax = size;
}

DEMI_HOST_DEVICE float saturate_to_half(float x) {  // NaN stays NaN
    return x > kLargestHalf ? kLargestHalf : x < -kLargestHalf ? -kLargestHalf : x;
}

// One number across: half(x) rounds to fp16 and back, count(x) sees what is rounded. What is 1 is not multiplied by: that
// would make another NaN of a NaN.
template <class Half, class Count>
DEMI_HOST_DEVICE float cross_number(float x, const Cast& cast, const Half& half, const Count& count) {
    if (cast.scale != 1) x *= cast.scale;
    if (cast.round) {
        if (cast.count) count(x);
        if (cast.saturate) x = saturate_to_half(x);
        x = half(x);
    }
    return cast.undo != 1 ? x * cast.undo : x;
}

// Adds what kernels counted; nothing may be pending.
DEMI_HOST_DEVICE void add_counters(CastCounters& into, const CastCounters& from) {
    into.elements += from.elements;
    into.to_inf += from.to_inf;
    into.nan += from.nan;
    into.to_zero += from.to_zero;
    into.subnormal += from.subnormal;
    if (from.amax > into.amax) into.amax = from.amax;
}

// dst = cast(src), f32, bf16 or f16 each; src in any strides, dst contiguous.
struct CastTensor {
    ConstMem src;
    Mem dst;
    Strided<1> shape;
    Cast cast;
    CastCounters* lost;  // null: not counted
};
// The largest finite |x| of any float dtype is the largest of `highest`, which is zero before.
struct FindAmax {
    ConstMem src;
    Strided<1> shape;
    double* highest;
    int64_t parts;
};
struct BoundaryKernels {
    void (*cast)(const CastTensor& call, Queue queue);
    void (*amax)(const FindAmax& call, Queue queue);
    // dst[i] = cast(src[i * step]), counted in `lost` (null where cast.count is false); on the CPU only. `stream` writes past
    // the caches, for large outputs.
    void (*load_row)(float* dst, ConstMem src, int64_t count, int64_t step, const Cast& cast,
                     CastCounters* lost, bool stream);
};
DEMI_BACKENDS(BoundaryKernels, boundary)

}  // namespace demi
