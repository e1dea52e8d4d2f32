#pragma once
// Internal: silu in f64 for the CPU's kernels of silu and swiglu.
#include <cmath>

namespace demi {

inline double sigmoid_f64(double x) {
    return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}

// silu(x) = x * gate * scale, its derivative = gate * rest * scale. scale is 1, or in the tail, where
// sigmoid(x) is subnormal, what keeps gate normal. Other factors come in before scale.
struct SiluF64 {
    double gate, rest, scale = 1;

    explicit SiluF64(double x) {
        if (x < -708) {
            gate = std::exp(x + 300);
            rest = 1 + x;
            scale = 5.1482002224120116e-131;  // e^-300
        } else {
            gate = sigmoid_f64(x);
            rest = 1 + x * (1 - gate);
        }
    }
};

}  // namespace demi
