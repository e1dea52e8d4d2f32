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
            half, DEMI_LANES { put(y + i, silu(get(a + i, n)) * get(b + i, n), n); });
    }
}

template <class T> void backward(const void* x_, const void* dy_, void* dx_, int64_t rows, int64_t half) {
    const vf one = broadcast(1.f);
    for (int64_t r = 0; r < rows; ++r) {
        const T* a = static_cast<const T*>(x_) + 2 * half * r;
        const T* b = a + half;
        const T* dy = static_cast<const T*>(dy_) + half * r;
        T* da = static_cast<T*>(dx_) + 2 * half * r;
        T* db = da + half;
        for_lanes(
            half, DEMI_LANES {
                const vf u = get(a + i, n), g = get(dy + i, n);
                const vf s = sigmoid(u), v = u * s;
                put(da + i, g * get(b + i, n) * fma(v, one - s, s), n);
                put(db + i, g * v, n);
            });
    }
}

}  // namespace

extern const SwigluIsa swiglu_isa;
const SwigluIsa swiglu_isa = {{forward<f16_t>, forward<bf16_t>, forward<float>},
                              {backward<f16_t>, backward<bf16_t>, backward<float>}};

}  // namespace demi::DEMI_ISA_NS
