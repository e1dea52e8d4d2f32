#pragma once
// Plain data. Entries for f16, bf16, f32.
#include <cstdint>

namespace demi {

struct L2NormalizeIsa {
    void (*forward[3])(const void* x, void* y, float* norms, float eps, int64_t rows, int64_t width);
    void (*backward[3])(const void* x, const float* norms, float eps, const void* dy, void* dx, int64_t rows,
                        int64_t width);
};

}  // namespace demi
