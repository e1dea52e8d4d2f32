#include "ops/l2_normalize/l2_normalize_isa.h"

#include "ops/common/lanes.h"

namespace demi::DEMI_ISA_NS {
namespace {

template <class T>
void forward(const void* x_, void* y_, float* norms, float eps, int64_t rows, int64_t width) {
    for (int64_t r = 0; r < rows; ++r) {
        const T* x = static_cast<const T*>(x_) + r * width;
        T* y = static_cast<T*>(y_) + r * width;
        const float square = sum_lanes(
            width, DEMI_LANES {
                const vf v = get(x + i, n);
                return v * v;
            });
        norms[r] = __builtin_sqrtf(square);
        const vf scale = broadcast(1.f / (norms[r] > eps ? norms[r] : eps));
        for_lanes(
            width, DEMI_LANES { put(y + i, get(x + i, n) * scale, n); });
    }
}

template <class T>
void backward(const void* x_, const float* norms, float eps, const void* dy_, void* dx_, int64_t rows,
              int64_t width) {
    for (int64_t r = 0; r < rows; ++r) {
        const T* x = static_cast<const T*>(x_) + r * width;
        const T* dy = static_cast<const T*>(dy_) + r * width;
        T* dx = static_cast<T*>(dx_) + r * width;
        const bool free = norms[r] > eps;
        const float scale = 1.f / (free ? norms[r] : eps);
        const vf s = broadcast(scale);
        vf along = zero();
        if (free) {
            const float dot = sum_lanes(
                width, DEMI_LANES { return get(x + i, n) * s * get(dy + i, n); });
            along = broadcast(dot * scale);
        }
        for_lanes(
            width, DEMI_LANES { put(dx + i, s * fnma(get(x + i, n), along, get(dy + i, n)), n); });
    }
}

}  // namespace

extern const L2NormalizeIsa l2_normalize_isa;
const L2NormalizeIsa l2_normalize_isa = {{forward<Half>, forward<BFloat16>, forward<float>},
                                         {backward<Half>, backward<BFloat16>, backward<float>}};

}  // namespace demi::DEMI_ISA_NS
