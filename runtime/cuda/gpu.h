#pragma once
// Internal: what a kernel file (.cu, C++17) is written against. A kernel is a struct whose members are its parameters:
//
//     struct ScaleKernel {
//         const float* x; float* y; int64_t count; float factor;
//         static constexpr int threads = 256;   // optional: the most threads a block will have (1024)
//         static constexpr int blocks = 2;      // optional: so many such blocks on a multiprocessor (1)
//         DEMI_DEVICE void operator()() const {
//             for (int64_t i = global_index(); i < count; i += global_size()) y[i] = factor * x[i];
//         }
//     };
//     gpu::launch(ScaleKernel{x, y, n, 2}, gpu::blocks_for(n, 256), {256}, 0, stream);
//
// The names below have two implementations: the device's (gpu_device.h), and an emulation on the host for machines
// without a GPU (-Dgpu_emulation=true; tests/support/gpu/), which runs the same source under the sanitizers.
//
//   thread_idx() block_idx() block_dim() grid_dim()   Dim3: the place in the grid
//   lane() warp()                                     place in the block, threads counted in linear order
//   sync_threads() sync_warp()                        barriers: every thread of the block or warp takes part
//   shfl(v, lane) shfl_xor(v, mask) shfl_down(v, n)   whole warps; v has 4 or 8 bytes
//   ballot(p)                                         one bit for each lane
//   shared<T>()                                       the block's dynamic shared memory, 16-byte aligned
//   load16(p) store16(p, v) load8(p) store8(p, v)     16 or 8 bytes, aligned
//   cp_async16(shared, global, valid)                 copies in the background; zeros where not valid
//   cp_async_commit() cp_async_wait<N>()              ends a group of copies; waits until at most N are open
//   ldmatrix_x4(r, row) _x4_trans _x2 _x2_trans       fragments from shared memory, in PTX's layout
//   mma_m16n8k16_f16(d, a, b) mma_m16n8k16_bf16(...)  d += a b on tensor cores, in PTX's layout
//   half_to_float float_to_half                       the bits of runtime/half.h
//   bf16_to_float float_to_bf16                       the same
//   pack_f16(low, high) pack_bf16(low, high)          two floats rounded by one instruction; NaN payloads are lost
//   unpack_f16(pair, low, high) half_value(bits)      two, or one, widened by the hardware
//   exp exp2 log sqrt rsqrt tanh erf sin cos pow fma frexp ldexp   float and double, the accurate ones
//   exp2_approx                                       float, within 2 ulp, 0 below 2^-126
//   max_number                                        float; the other operand where one is NaN
//   atomic_add(p, v) atomic_max(p, v) atomic_max_u32  integers only; atomic_add returns what was there before
//   philox(seed, offset, index)                       random_word of runtime/random.h
#include "runtime/cuda/gpu_bits.h"
#include "runtime/cuda/gpu_types.h"

#if defined(DEMI_GPU_EMULATION)
#include <gpu_emulation.h>
#define DEMI_UNROLL
#else
#include "runtime/cuda/gpu_device.h"
#define DEMI_UNROLL _Pragma("unroll")
#endif

namespace demi::gpu {

// ---- where am I in a one-dimensional grid ------------------------------------------------------------
DEMI_DEVICE int64_t global_index() {
    return static_cast<int64_t>(block_idx().x) * block_dim().x + thread_idx().x;
}
DEMI_DEVICE int64_t global_size() { return static_cast<int64_t>(grid_dim().x) * block_dim().x; }

inline Dim3 blocks_for(int64_t items, int64_t per_block, int64_t at_most = 65536) {
    const int64_t blocks = (items + per_block - 1) / per_block;
    return {static_cast<unsigned>(blocks < at_most ? blocks : at_most), 1, 1};
}

// The first i in [0, count) where fn holds, which is false before and true from there on; count where it never is.
template <class F> DEMI_DEVICE int64_t first_true(int64_t count, const F& fn) {
    int64_t low = 0, high = count;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (fn(middle))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

// ---- elements: load() to the type that arithmetic runs in, store() with one rounding -----------------
template <class T> struct ComputeOf { typedef float type; };
template <> struct ComputeOf<double> { typedef double type; };
template <class T> using compute_t = typename ComputeOf<T>::type;

DEMI_DEVICE float load(const float* p) { return *p; }
DEMI_DEVICE double load(const double* p) { return *p; }
DEMI_DEVICE float load(const Half* p) { return half_to_float(p->bits); }
DEMI_DEVICE float load(const BFloat16* p) { return bf16_to_float(p->bits); }

DEMI_DEVICE void store(float* p, float v) { *p = v; }
DEMI_DEVICE void store(double* p, double v) { *p = v; }
DEMI_DEVICE void store(Half* p, float v) { p->bits = float_to_half(v); }
DEMI_DEVICE void store(BFloat16* p, float v) { p->bits = float_to_bf16(v); }

// ---- from a DType to a template parameter: dispatch_float(type, [&](auto tag) { using T =
// tag_t<decltype(tag)>; })
template <class T> struct Tag { typedef T type; };
template <class T> using tag_t = typename T::type;

// Nothing happens for a type outside the list: the calling table has checked it.
template <class F> void dispatch_float(DType type, F&& fn) {
    if (type == DType::f32)
        fn(Tag<float>{});
    else if (type == DType::f16)
        fn(Tag<Half>{});
    else if (type == DType::bf16)
        fn(Tag<BFloat16>{});
    else if (type == DType::f64)
        fn(Tag<double>{});
}
template <class F> void dispatch_all(DType type, F&& fn) {
    if (type == DType::i32)
        fn(Tag<int32_t>{});
    else if (type == DType::i64)
        fn(Tag<int64_t>{});
    else if (type == DType::u8)
        fn(Tag<uint8_t>{});
    else if (type == DType::boolean)
        fn(Tag<bool>{});
    else
        dispatch_float(type, static_cast<F&&>(fn));
}

// ---- whole-warp reductions, the same order every time ------------------------------------------------
template <class T> DEMI_DEVICE T warp_sum(T v) {
    for (int step = 16; step > 0; step /= 2) v += shfl_xor(v, step);
    return v;
}
template <class T> DEMI_DEVICE T warp_max(T v) {
    for (int step = 16; step > 0; step /= 2) {
        const T other = shfl_xor(v, step);
        v = other > v ? other : v;
    }
    return v;
}
// Sum over the block, the same value in every thread; scratch: shared memory for 32 values. Synchronises.
template <class T> DEMI_DEVICE T block_sum(T v, T* scratch) {
    v = warp_sum(v);
    sync_threads();
    if (lane() == 0) scratch[warp()] = v;
    sync_threads();
    const int warps = static_cast<int>((block_dim().x * block_dim().y * block_dim().z + 31) / 32);
    return warp_sum(lane() < warps ? scratch[lane()] : T(0));
}

}  // namespace demi::gpu
