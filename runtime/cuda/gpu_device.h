#pragma once
// Internal: the names of gpu.h on the device. Included by gpu.h in files that nvcc compiles.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "runtime/cuda/gpu_bits.h"
#include "runtime/cuda/launch.h"

namespace demi::gpu {

// ---- place and barriers ------------------------------------------------------------------------------
DEMI_DEVICE Dim3 thread_idx() { return {threadIdx.x, threadIdx.y, threadIdx.z}; }
DEMI_DEVICE Dim3 block_idx() { return {blockIdx.x, blockIdx.y, blockIdx.z}; }
DEMI_DEVICE Dim3 block_dim() { return {blockDim.x, blockDim.y, blockDim.z}; }
DEMI_DEVICE Dim3 grid_dim() { return {gridDim.x, gridDim.y, gridDim.z}; }
DEMI_DEVICE int linear_thread() {
    return static_cast<int>((threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x);
}
DEMI_DEVICE int lane() { return linear_thread() & 31; }
DEMI_DEVICE int warp() { return linear_thread() >> 5; }
DEMI_DEVICE void sync_threads() { __syncthreads(); }
DEMI_DEVICE void sync_warp() { __syncwarp(); }

template <class T> DEMI_DEVICE T* shared() {
    extern __shared__ __align__(128) unsigned char demi_dynamic_shared[];
    return reinterpret_cast<T*>(demi_dynamic_shared);
}

// ---- warps -------------------------------------------------------------------------------------------
template <class T> DEMI_DEVICE T shfl(T v, int source) { return __shfl_sync(0xffffffffu, v, source); }
template <class T> DEMI_DEVICE T shfl_xor(T v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
template <class T> DEMI_DEVICE T shfl_down(T v, int delta) {
    return __shfl_down_sync(0xffffffffu, v, static_cast<unsigned>(delta));
}
DEMI_DEVICE uint32_t warp_sum(uint32_t v) {
#if __CUDA_ARCH__ >= 800
    return __reduce_add_sync(0xffffffffu, v);
#else
    for (int step = 16; step > 0; step /= 2) v += shfl_xor(v, step);
    return v;
#endif
}
DEMI_DEVICE uint32_t warp_max(uint32_t v) {
#if __CUDA_ARCH__ >= 800
    return __reduce_max_sync(0xffffffffu, v);
#else
    for (int step = 16; step > 0; step /= 2) v = max(v, shfl_xor(v, step));
    return v;
#endif
}
DEMI_DEVICE uint32_t ballot(bool predicate) { return __ballot_sync(0xffffffffu, predicate); }

// ---- memory ------------------------------------------------------------------------------------------
DEMI_DEVICE Bytes16 load16(const void* p) {
    const uint4 v = *static_cast<const uint4*>(p);
    return {{v.x, v.y, v.z, v.w}};
}
DEMI_DEVICE void store16(void* p, Bytes16 v) {
    *static_cast<uint4*>(p) = make_uint4(v.w[0], v.w[1], v.w[2], v.w[3]);
}

DEMI_DEVICE Bytes8 load8(const void* p) {
    const uint2 v = *static_cast<const uint2*>(p);
    return {{v.x, v.y}};
}
DEMI_DEVICE void store8(void* p, Bytes8 v) { *static_cast<uint2*>(p) = make_uint2(v.w[0], v.w[1]); }

DEMI_DEVICE uint32_t shared_address(const void* p) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

DEMI_DEVICE void cp_async16(void* to, const void* from, bool valid) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(valid ? 16 : 0)
                 : "memory");
#else
    store16(to, valid ? load16(from) : Bytes16{{0, 0, 0, 0}});
#endif
}
DEMI_DEVICE void cp_async_commit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int N> DEMI_DEVICE void cp_async_wait() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

DEMI_DEVICE uint32_t atomic_add(uint32_t* p, uint32_t v) { return atomicAdd(p, v); }
DEMI_DEVICE uint64_t atomic_add(uint64_t* p, uint64_t v) {
    return atomicAdd(reinterpret_cast<unsigned long long*>(p), static_cast<unsigned long long>(v));
}
DEMI_DEVICE void atomic_max_u32(uint32_t* p, uint32_t v) { atomicMax(p, v); }
DEMI_DEVICE void atomic_max(uint64_t* p, uint64_t v) {
    atomicMax(reinterpret_cast<unsigned long long*>(p), static_cast<unsigned long long>(v));
}

// ---- 16-bit floats: the hardware's conversions, and the payload that it drops from a NaN ---------------
DEMI_DEVICE float half_to_float(uint16_t bits) {
    if ((bits & 0x7fffu) > 0x7c00u)
        return __uint_as_float((static_cast<uint32_t>(bits & 0x8000u) << 16) | 0x7fc00000u |
                               (static_cast<uint32_t>(bits & 0x3ffu) << 13));
    return __half2float(__ushort_as_half(bits));
}
DEMI_DEVICE uint16_t float_to_half(float x) {
    const uint16_t bits = __half_as_ushort(__float2half_rn(x));
    return x != x ? nan_to_f16(__float_as_uint(x)) : bits;
}
DEMI_DEVICE float half_value(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
DEMI_DEVICE float bf16_to_float(uint16_t bits) { return __uint_as_float(static_cast<uint32_t>(bits) << 16); }
DEMI_DEVICE uint16_t float_to_bf16(float x) { return float_bits_to_bf16(__float_as_uint(x)); }
DEMI_DEVICE uint32_t pack_f16(float low, float high) {
    const __half2 pair = __floats2half2_rn(low, high);
    return bit_cast<uint32_t>(pair);
}
DEMI_DEVICE void unpack_f16(uint32_t pair, float& low, float& high) {
    const float2 both = __half22float2(bit_cast<__half2>(pair));
    low = both.x;
    high = both.y;
}
DEMI_DEVICE uint32_t pack_bf16(float low, float high) {
#if __CUDA_ARCH__ >= 800
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return bit_cast<uint32_t>(pair);
#else
    return static_cast<uint32_t>(float_to_bf16(low)) | static_cast<uint32_t>(float_to_bf16(high)) << 16;
#endif
}

// ---- maths -------------------------------------------------------------------------------------------
DEMI_DEVICE float exp(float x) { return ::expf(x); }
DEMI_DEVICE double exp(double x) { return ::exp(x); }
DEMI_DEVICE float exp2(float x) { return ::exp2f(x); }
DEMI_DEVICE double exp2(double x) { return ::exp2(x); }
DEMI_DEVICE float exp2_approx(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
DEMI_DEVICE float max_number(float a, float b) { return ::fmaxf(a, b); }
DEMI_DEVICE float log(float x) { return ::logf(x); }
DEMI_DEVICE double log(double x) { return ::log(x); }
DEMI_DEVICE float log1p(float x) { return ::log1pf(x); }
DEMI_DEVICE double log1p(double x) { return ::log1p(x); }
DEMI_DEVICE float sqrt(float x) { return __fsqrt_rn(x); }
DEMI_DEVICE double sqrt(double x) { return __dsqrt_rn(x); }
DEMI_DEVICE float rsqrt(float x) { return 1.0f / __fsqrt_rn(x); }
DEMI_DEVICE double rsqrt(double x) { return 1.0 / __dsqrt_rn(x); }
DEMI_DEVICE float tanh(float x) { return ::tanhf(x); }
DEMI_DEVICE double tanh(double x) { return ::tanh(x); }
DEMI_DEVICE float erf(float x) { return ::erff(x); }
DEMI_DEVICE double erf(double x) { return ::erf(x); }
DEMI_DEVICE float sin(float x) { return ::sinf(x); }
DEMI_DEVICE double sin(double x) { return ::sin(x); }
DEMI_DEVICE float cos(float x) { return ::cosf(x); }
DEMI_DEVICE double cos(double x) { return ::cos(x); }
DEMI_DEVICE float pow(float x, float y) { return ::powf(x, y); }
DEMI_DEVICE double pow(double x, double y) { return ::pow(x, y); }
DEMI_DEVICE float frexp(float x, int* e) { return ::frexpf(x, e); }
DEMI_DEVICE double frexp(double x, int* e) { return ::frexp(x, e); }
DEMI_DEVICE float ldexp(float x, int e) { return ::ldexpf(x, e); }
DEMI_DEVICE double ldexp(double x, int e) { return ::ldexp(x, e); }
DEMI_DEVICE float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
DEMI_DEVICE double fma(double a, double b, double c) { return __fma_rn(a, b, c); }
DEMI_DEVICE float abs(float x) { return ::fabsf(x); }
DEMI_DEVICE double abs(double x) { return ::fabs(x); }
DEMI_DEVICE float floor(float x) { return ::floorf(x); }
DEMI_DEVICE double floor(double x) { return ::floor(x); }
DEMI_DEVICE float round_to_int(float x) { return ::rintf(x); }
DEMI_DEVICE float infinity() { return __uint_as_float(0x7f800000u); }
DEMI_DEVICE bool is_finite(float x) { return (__float_as_uint(x) & 0x7fffffffu) < 0x7f800000u; }
DEMI_DEVICE bool is_finite(double x) { return ::fabs(x) <= 1.7976931348623157e308; }

}  // namespace demi::gpu

#include "runtime/cuda/gpu_device_mma.h"

namespace demi::gpu {

// ---- launch ------------------------------------------------------------------------------------------
template <class Kernel>
__global__ void __launch_bounds__(ThreadsOf<Kernel>::value, BlocksOf<Kernel>::value)
    run_kernel(const __grid_constant__ Kernel kernel) {
    kernel();
}

template <class Kernel>
void launch(const Kernel& kernel, Dim3 grid, Dim3 block, size_t shared_bytes, Stream stream) {
    static_assert(sizeof(Kernel) <= 4096, "a kernel's parameters are limited to 4 KB");
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    check_launch_size(__PRETTY_FUNCTION__, grid, block, shared_bytes, ThreadsOf<Kernel>::value);
    if (shared_bytes > 48 * 1024)
        check_call(static_cast<int>(cudaFuncSetAttribute(run_kernel<Kernel>,
                                                         cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                         static_cast<int>(shared_bytes))),
                   __PRETTY_FUNCTION__);
    run_kernel<Kernel><<<dim3(grid.x, grid.y, grid.z), dim3(block.x, block.y, block.z), shared_bytes,
                         static_cast<cudaStream_t>(stream)>>>(kernel);
    check_call(static_cast<int>(cudaGetLastError()), __PRETTY_FUNCTION__);
}

}  // namespace demi::gpu
