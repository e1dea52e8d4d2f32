#pragma once
// Plain data. Entries for f16, bf16, f32; `rows` rows of x (2 * half) and y (half).
#include <cstdint>

namespace demi {

struct SwigluIsa {
    void (*forward[3])(const void* x, void* y, int64_t rows, int64_t half);
    void (*backward[3])(const void* x, const void* dy, void* dx, int64_t rows, int64_t half);
};

}  // namespace demi
