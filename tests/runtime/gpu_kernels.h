#pragma once
// Kernels that try out the wrappers of runtime/cuda/gpu.h; compiled by nvcc or by the host compiler.
#include <cstdint>

#include "runtime/cuda/gpu_types.h"

namespace demi::test_kernels {

// One warp: d [16, 8] f32 += a [16, 16] * b [16, 8] of f16 or bf16 bits, fragments filled by hand; two of
// them exchanged where `wrong_layout`.
void mma(bool is_bf16, bool wrong_layout, const uint16_t* a, const uint16_t* b, float* d, gpu::Stream stream);
// The same through ldmatrix: a row-major; b row-major (needs trans) or column-major.
void mma_ldmatrix(const uint16_t* a, const uint16_t* b, bool b_is_transposed, float* d, gpu::Stream stream);
// out [32 * 5]: shfl, shfl_xor, shfl_down, ballot, warp_sum of x [32].
void shuffles(const float* x, double* out, gpu::Stream stream);
// out[i] = sum of x [n] for every block of 128 threads, blocks [grid].
void block_sums(const float* x, int64_t n, float* out, unsigned grid, gpu::Stream stream);
// Reverses x [n] in shared memory, n <= 1024; without the barrier where `skip_barrier`.
void reverse(const float* x, float* out, unsigned n, bool skip_barrier, gpu::Stream stream);
// Copies n blocks of 16 bytes by cp.async; the second half arrives as zeros. Without
// the wait where `skip_wait`.
void copy_async(const uint32_t* x, uint32_t* out, unsigned n, bool skip_wait, gpu::Stream stream);
// y[i] = x[i], one thread each, `extra` elements too many, `missing` too few.
void copy_some(const float* x, float* y, int64_t n, int64_t extra, int64_t missing, gpu::Stream stream);
// out[i] = shared memory word i + extra; words were written by the thread itself.
void touch_shared(uint32_t* out, unsigned n, unsigned extra, gpu::Stream stream);
// Misuse: a part of the block does not come to a barrier (0), of the warp to a shuffle (1), lanes meet at
// different operations (2), a 16-byte load from an odd address (3), ldmatrix on global memory (4).
void misuse(int kind, float* x, gpu::Stream stream);
// out [n, 2]: float_to_half and float_to_bf16 of x; back [n, 2]: half_to_float and bf16_to_float of the low
// bits of i.
void conversions(const float* x, uint16_t* out, float* back, int64_t n, gpu::Stream stream);
// out[i] = philox(seed, offset, i)
void words(uint64_t seed, uint64_t offset, uint32_t* out, int64_t n, gpu::Stream stream);
// *sum += i for i < n, *largest = max
void atomics(uint64_t* sum, uint32_t* largest, uint32_t n, gpu::Stream stream);

}  // namespace demi::test_kernels
