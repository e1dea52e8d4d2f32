#pragma once
// Internal: ldmatrix and mma.sync m16n8k16 on the device, with what Turing has where
// it lacks the instruction.
#include "runtime/cuda/gpu_device.h"

namespace demi::gpu {

// Every lane gives the address of one row of 16 bytes: lanes 0..7 of the first 8x8
// matrix, 8..15 of the second, ...
DEMI_DEVICE void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
DEMI_DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
DEMI_DEVICE void ldmatrix_x2(uint32_t (&r)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
}
DEMI_DEVICE void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
}

// d (16x8, f32) += a (16x16, row by row) * b (16x8, column by column). Lane 4g+t holds
//   a[0]: row g, columns 2t 2t+1;  a[1]: row g+8;  a[2], a[3]: the same rows, columns 8 further
//   b[0]: rows 2t 2t+1 of column g;  b[1]: rows 8 further
//   d[0] d[1]: row g, columns 2t 2t+1;  d[2] d[3]: row g+8
DEMI_DEVICE void mma_m16n8k16_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    for (int half = 0; half < 2; ++half)
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
                     "{%0,%1,%2,%3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(b[half]));
#endif
}

#if __CUDA_ARCH__ < 800
// Turing has no bf16: the lanes hand each other their fragments. Correct, and slow; one copy,
// not one for each product.
template <int = 0>
__device__ __noinline__ float4 mma_bf16_by_shuffles(float4 sum, uint4 left_rows, uint2 right_columns) {
    float d[4] = {sum.x, sum.y, sum.z, sum.w};
    const uint32_t a[4] = {left_rows.x, left_rows.y, left_rows.z, left_rows.w};
    const uint32_t b[2] = {right_columns.x, right_columns.y};
    const int g = lane() / 4, t = lane() % 4;
    for (int part = 0; part < 2; ++part) {
        for (int s = 0; s < 4; ++s) {
            const uint32_t above = shfl(a[2 * part], 4 * g + s), below = shfl(a[2 * part + 1], 4 * g + s);
            const uint32_t left = shfl(b[part], 8 * t + s), right = shfl(b[part], 8 * t + 4 + s);
            for (int shift = 0; shift < 32; shift += 16) {
                const float x = bf16_to_float(static_cast<uint16_t>(above >> shift));
                const float y = bf16_to_float(static_cast<uint16_t>(below >> shift));
                const float l = bf16_to_float(static_cast<uint16_t>(left >> shift));
                const float r = bf16_to_float(static_cast<uint16_t>(right >> shift));
                d[0] = fma(x, l, d[0]);
                d[1] = fma(x, r, d[1]);
                d[2] = fma(y, l, d[2]);
                d[3] = fma(y, r, d[3]);
            }
        }
    }
    return make_float4(d[0], d[1], d[2], d[3]);
}
#endif

DEMI_DEVICE void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    const float4 sum = mma_bf16_by_shuffles<>(make_float4(d[0], d[1], d[2], d[3]),
                                              make_uint4(a[0], a[1], a[2], a[3]), make_uint2(b[0], b[1]));
    d[0] = sum.x;
    d[1] = sum.y;
    d[2] = sum.z;
    d[3] = sum.w;
#endif
}

}  // namespace demi::gpu
