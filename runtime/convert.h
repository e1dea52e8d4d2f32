#pragma once
// Contiguous conversions between f32 and the 16-bit floats, by the widest instructions the processor has.
#include <cstdint>

#include "runtime/half.h"

namespace demi {

void convert(Half* dst, const float* src, int64_t count);
void convert(float* dst, const Half* src, int64_t count);
void convert(BFloat16* dst, const float* src, int64_t count);
void convert(float* dst, const BFloat16* src, int64_t count);

}  // namespace demi
