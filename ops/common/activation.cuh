#pragma once
// Device code: the activations in the type that arithmetic runs in.
#include "runtime/cuda/gpu.h"

namespace demi::gpu_kernels {

template <class C> DEMI_DEVICE C sigmoid(C x) { return 1 / (1 + gpu::exp(-x)); }

struct Gelu {
    template <class C> static DEMI_DEVICE C cdf(C x) {
        return C(0.5) * (1 + gpu::erf(x * C(0.70710678118654752440)));
    }
    template <class C> static DEMI_DEVICE C value(C x) { return x * cdf(x); }
    template <class C> static DEMI_DEVICE C slope(C x) {
        return cdf(x) + x * (C(0.39894228040143267794) * gpu::exp(C(-0.5) * x * x));
    }
};
struct Silu {
    template <class C> static DEMI_DEVICE C value(C x) { return x * sigmoid(x); }
    template <class C> static DEMI_DEVICE C slope(C x) {
        const C s = sigmoid(x);
        return gpu::fma(x * s, 1 - s, s);
    }
};
struct Relu {
    template <class C> static DEMI_DEVICE C value(C x) { return x < 0 ? C(0) : x; }
    template <class C> static DEMI_DEVICE C slope(C x) { return x > 0 ? C(1) : C(0); }
};

}  // namespace demi::gpu_kernels
