#pragma once
// Plain data. Entries for f16, bf16, f32.
#include <cstdint>

namespace demi {

struct DropoutIsa {
    // x and y start at the first word of block `block`.
    void (*apply[3])(const void* x, void* y, int64_t count, uint64_t seed, uint64_t block, uint32_t threshold,
                     float scale);
    void (*scale[3])(const void* x, void* y, int64_t count, float scale);
};

}  // namespace demi
