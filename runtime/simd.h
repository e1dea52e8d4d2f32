#pragma once
// A thin vector type for kernel files that are compiled once per instruction set:
//
//   vf                   kLanes floats: 16 on x86-64-v4, 8 on v3, 4 elsewhere; a native vector type: + - * / work on it
//   vm                   the result of a comparison, for select(), mask_and and mask_or
//   load store           memory aligned to the vector
//   loadu storeu         any memory
//   load_n store_n       the first n lanes, 0 <= n <= kLanes: others read as zero, memory beyond them is not touched
//   fma(a, b, c)         a * b + c, fused on v3 and v4
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
#else
#include "runtime/simd_baseline.h"
#endif
#include "runtime/simd_double.h"
#include "runtime/simd_gelu.h"
#include "runtime/simd_math.h"
