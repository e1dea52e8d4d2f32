#pragma once
// A thin vector type for kernel files that are compiled once per instruction set:
//
//   vf                   kLanes floats: 16 on x86-64-v4, 8 on v3, 4 elsewhere; a native vector type: + - * / work on it
//   kRegisters           of them in the processor
//   vm                   the result of a comparison, for select(), mask_and and mask_or
//   load store           memory aligned to the vector
//   loadu storeu         any memory
//   load_n store_n       the first n lanes, 0 <= n <= kLanes: others read as zero, memory beyond them is not touched
//   fma(a, b, c)         a * b + c, fused on v3, v4 and ARM
//   hsum hmax            over all lanes, in a fixed order
//
// The pointer decides the storage: float*, Half*, BFloat16*. These convert with round to nearest even; subnormals,
// infinities and NaN survive. Everything is in a namespace of its own for each instruction set, so that code for wide
// registers cannot leak into other files.
#include "runtime/element.h"

#ifndef DEMI_BACKEND
#error "runtime/simd.h is for kernel files, which are compiled with -DDEMI_BACKEND=..."
#endif

#include "runtime/simd_scalar.h"
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#include "runtime/simd_v4.h"
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include "runtime/simd_v3.h"
#elif defined(__aarch64__)
#include "runtime/simd_neon.h"
#else
#include "runtime/simd_baseline.h"
#endif

namespace demi::DEMI_BACKEND {

DEMI_INLINE vf loadu(const Half* p) { return from_f16(load_u16(p)); }
DEMI_INLINE vf loadu(const BFloat16* p) { return from_bf16(load_u16(p)); }
DEMI_INLINE vf load_n(const Half* p, int n) { return from_f16(load_u16_n(p, n)); }
DEMI_INLINE vf load_n(const BFloat16* p, int n) { return from_bf16(load_u16_n(p, n)); }
DEMI_INLINE void storeu(Half* p, vf x) { store_u16(p, to_f16(x)); }
DEMI_INLINE void storeu(BFloat16* p, vf x) { store_u16(p, to_bf16(x)); }
DEMI_INLINE void store_n(Half* p, vf x, int n) { store_u16_n(p, to_f16(x), n); }
DEMI_INLINE void store_n(BFloat16* p, vf x, int n) { store_u16_n(p, to_bf16(x), n); }

DEMI_INLINE vf round_f16(vf x) { return from_f16(to_f16(x)); }
DEMI_INLINE vf round_bf16(vf x) { return from_bf16(to_bf16(x)); }

}  // namespace demi::DEMI_BACKEND

#include "runtime/simd_double.h"
#include "runtime/simd_gelu.h"
#include "runtime/simd_math.h"
