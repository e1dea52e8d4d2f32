#include "ops/swiglu/swiglu_isa.h"

#include "ops/common/lanes.h"

namespace demi::DEMI_ISA_NS {
namespace {

template <class T> void forward(const void* x_, void* y_, int64_t rows, int64_t half) {
    for (int64_t r = 0; r < rows; ++r) {
        const T* a = static_cast<const T*>(x_) + 2 * half * r;
        const T* b = a + half;
        T* y = static_cast<T*>(y_) + half * r;
        for_lanes(
            half, DEMI_LANES {
                const SiluParts s = silu_parts(get(a + i, n));
                put(y + i, s.value * get(b + i, n) * s.scale, n);
            });
    }
}

// g b slope, where g b may leave the range and slope bring it back.
DEMI_INLINE vf gate_grad(vf g, vf b, const SiluParts& s) {
    const vf product = g * b, there = product * s.slope * s.scale;
    const vm far = equal(abs(product), infinity());
    if (!any(far)) return there;
    const vf down = broadcast(0x1p-64f), up = broadcast(0x1p64f);
    return select(far, (g * down) * (b * down) * s.slope * s.scale * up * up, there);
}

template <class T> void backward(const void* x_, const void* dy_, void* dx_, int64_t rows, int64_t half) {
    for (int64_t r = 0; r < rows; ++r) {
        const T* a = static_cast<const T*>(x_) + 2 * half * r;
        const T* b = a + half;
        const T* dy = static_cast<const T*>(dy_) + half * r;
        T* da = static_cast<T*>(dx_) + 2 * half * r;
        T* db = da + half;
        for_lanes(
            half, DEMI_LANES {
                const vf g = get(dy + i, n);
                const SiluParts s = silu_parts(get(a + i, n));
                put(da + i, gate_grad(g, get(b + i, n), s), n);
                put(db + i, g * s.value * s.scale, n);
            });
    }
}

}  // namespace

extern const SwigluIsa swiglu_isa;
const SwigluIsa swiglu_isa = {{forward<f16_t>, forward<bf16_t>, forward<float>},
                              {backward<f16_t>, backward<bf16_t>, backward<float>}};

}  // namespace demi::DEMI_ISA_NS
