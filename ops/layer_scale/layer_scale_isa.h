#pragma once
// Plain data. Entries for f16, bf16, f32. residual, dx and dgamma may be null; backward adds to dgamma.
#include <cstdint>

namespace demi {

struct LayerScaleIsa {
    void (*forward[3])(const void* x, const float* gamma, const void* residual, void* y, int64_t rows,
                       int64_t width);
    void (*backward[3])(const void* x, const float* gamma, const void* dy, void* dx, float* dgamma,
                        int64_t rows, int64_t width);
};

}  // namespace demi
