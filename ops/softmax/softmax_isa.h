#pragma once
// Plain data. Entries for f16, bf16, f32; rows contiguous. work: `width` floats for the 16-bit formats.
#include <cstdint>

namespace demi {

struct SoftmaxIsa {
    void (*forward[3])(const void* x, void* y, float* work, int64_t rows, int64_t width);
    void (*backward[3])(const void* y, const void* dy, void* dx, int64_t rows, int64_t width);
    void (*log_forward[3])(const void* x, void* y, int64_t rows, int64_t width);
    void (*log_backward[3])(const void* y, const void* dy, void* dx, int64_t rows, int64_t width);
};

}  // namespace demi
