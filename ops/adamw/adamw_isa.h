#pragma once
// Plain data. Entries [parameter][gradient] for f16, bf16, f32.
#include <cstdint>

namespace demi {

struct AdamwScalars {
    float decay, beta1_rest, beta2, beta2_rest, step_size, root_correction, eps, grad_scale;
};

struct AdamwIsa {
    void (*step[3][3])(void* param, const void* grad, float* exp_avg, float* exp_avg_sq, int64_t count,
                       const AdamwScalars* scalars);
};

}  // namespace demi
