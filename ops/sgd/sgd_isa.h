#pragma once
// Plain data. Entries [parameter][gradient] for f16, bf16, f32; buffer may be null.
#include <cstdint>

namespace demi {

struct SgdScalars {
    float lr, weight_decay, momentum, grad_scale;
    bool nesterov;
};

struct SgdIsa {
    void (*step[3][3])(void* param, const void* grad, float* buffer, int64_t count,
                       const SgdScalars* scalars);
};

}  // namespace demi
