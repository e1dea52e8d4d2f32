#pragma once
// Plain data. Entries [dst][src] for f16, bf16, f32.
#include <cstdint>

namespace demi {

struct EmaIsa {
    void (*update[3][3])(void* dst, const void* src, int64_t count, float keep, float take);
};

}  // namespace demi
