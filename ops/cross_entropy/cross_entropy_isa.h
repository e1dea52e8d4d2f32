#pragma once
// Plain data: one row of logits at a time. Entries for f16, bf16, f32.
#include <cstdint>

namespace demi {

// What one pass over a row gives. Distances are max - x, so that no digits are lost to a large maximum.
template <class T> struct CrossEntropyRow {
    T max, exp_sum;             // sum exp(x - max)
    T distance;                 // sum (max - x); only where asked for
    T target, target_distance;  // sum t, sum t (max - x); only with a target
};

// dx = prob * exp(x - max - log_sum) - constant - (with a target) hit * t - (with a label) hit at the label;
// 0 where max is -infinity and log_sum is not NaN.
struct CrossEntropyStep {
    float max, log_sum, prob, constant, hit;
    int64_t label;  // -1: none
};

struct CrossEntropyIsa {
    void (*forward[3])(const void* x, const float* target, bool distance, int64_t width,
                       CrossEntropyRow<float>* out);
    void (*backward[3])(const void* x, const float* target, const CrossEntropyStep* step, void* dx,
                        int64_t width);
    // dt = factor * (max + log_sum - x); 0 where x is -infinity and t or factor is 0
    void (*target_grad[3])(const void* x, const float* t, float max, float log_sum, float factor, float* dt,
                           int64_t width);
};

}  // namespace demi
