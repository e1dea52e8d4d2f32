#pragma once
// Plain data. Entries for f16, bf16, f32; all rows contiguous. stats: as in layernorm_kernels.h.
#include <cstdint>

namespace demi {

struct LayernormIsa {
    // residual and sum may be null together: then x is normalised as it is.
    void (*forward[3])(const void* x, const void* residual, const float* weight, const float* bias, void* sum,
                       void* y, float* stats, int64_t rows, int64_t width, float eps);
    // Adds to dweight and dbias (null: skipped); dx and dsum may be null.
    void (*backward[3])(const void* x, const void* dy, const void* dsum, const float* weight,
                        const float* stats, void* dx, float* dweight, float* dbias, int64_t rows,
                        int64_t width);
};

}  // namespace demi
