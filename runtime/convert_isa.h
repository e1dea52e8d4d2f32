#pragma once
// Internal: the loops behind convert.h, one table per instruction set; 16-bit floats as their bits.
#include <cstdint>

namespace demi {

struct ConvertIsa {
    void (*f32_to_f16)(uint16_t* dst, const float* src, int64_t count);
    void (*f16_to_f32)(float* dst, const uint16_t* src, int64_t count);
    void (*f32_to_bf16)(uint16_t* dst, const float* src, int64_t count);
    void (*bf16_to_f32)(float* dst, const uint16_t* src, int64_t count);
};

const ConvertIsa& convert_isa();

}  // namespace demi
