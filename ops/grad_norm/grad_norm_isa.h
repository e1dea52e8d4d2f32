#pragma once
// Plain data. Entries for f16, bf16, f32.
#include <cstdint>

namespace demi {

struct GradNormIsa {
    double (*sum_squares[3])(const void* x, int64_t count);
    void (*scale[3])(void* x, int64_t count, float factor);
    bool (*finite[3])(const void* x, int64_t count);
};

}  // namespace demi
