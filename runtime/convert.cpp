#include "runtime/convert.h"

#include "runtime/convert_isa.h"
#include "runtime/isa.h"

namespace demi {

DEMI_ISA_TABLE(ConvertIsa, convert_isa)

static_assert(sizeof(Half) == sizeof(uint16_t) && sizeof(BFloat16) == sizeof(uint16_t));

void convert(Half* dst, const float* src, int64_t count) { convert_isa().f32_to_f16(&dst->bits, src, count); }
void convert(float* dst, const Half* src, int64_t count) { convert_isa().f16_to_f32(dst, &src->bits, count); }
void convert(BFloat16* dst, const float* src, int64_t count) {
    convert_isa().f32_to_bf16(&dst->bits, src, count);
}
void convert(float* dst, const BFloat16* src, int64_t count) {
    convert_isa().bf16_to_f32(dst, &src->bits, count);
}

}  // namespace demi
