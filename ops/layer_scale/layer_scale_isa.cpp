#include "ops/layer_scale/layer_scale_isa.h"

#include "ops/common/lanes.h"

namespace demi::DEMI_ISA_NS {
namespace {

template <class T>
void forward(const void* x_, const float* gamma, const void* residual_, void* y_, int64_t rows,
             int64_t width) {
    for (int64_t r = 0; r < rows; ++r) {
        const T* x = static_cast<const T*>(x_) + r * width;
        T* y = static_cast<T*>(y_) + r * width;
        if (residual_ == nullptr) {
            for_lanes(
                width, DEMI_LANES { put(y + i, get(x + i, n) * get(gamma + i, n), n); });
            continue;
        }
        const T* residual = static_cast<const T*>(residual_) + r * width;
        for_lanes(
            width,
            DEMI_LANES { put(y + i, fma(get(x + i, n), get(gamma + i, n), get(residual + i, n)), n); });
    }
}

template <class T>
void backward(const void* x_, const float* gamma, const void* dy_, void* dx_, float* dgamma, int64_t rows,
              int64_t width) {
    for (int64_t r = 0; r < rows; ++r) {
        const T* dy = static_cast<const T*>(dy_) + r * width;
        if (dx_ != nullptr) {
            T* dx = static_cast<T*>(dx_) + r * width;
            for_lanes(
                width, DEMI_LANES { put(dx + i, get(dy + i, n) * get(gamma + i, n), n); });
        }
        if (dgamma == nullptr) continue;
        const T* x = static_cast<const T*>(x_) + r * width;
        for_lanes(
            width,
            DEMI_LANES { put(dgamma + i, fma(get(dy + i, n), get(x + i, n), get(dgamma + i, n)), n); });
    }
}

}  // namespace

extern const LayerScaleIsa layer_scale_isa;
const LayerScaleIsa layer_scale_isa = {{forward<Half>, forward<BFloat16>, forward<float>},
                                       {backward<Half>, backward<BFloat16>, backward<float>}};

}  // namespace demi::DEMI_ISA_NS
