#include "ops/layernorm/layernorm_isa.h"

#include "ops/common/lanes.h"

namespace demi::DEMI_ISA_NS {
namespace {

template <class T>
void forward(const void* x_, const void* residual_, const float* weight, const float* bias, void* sum_,
             void* y_, float* mean, float* rstd, int64_t rows, int64_t width, float eps) {
    const float scale = 1.f / static_cast<float>(width);
    for (int64_t r = 0; r < rows; ++r) {
        const T* x = static_cast<const T*>(x_) + r * width;
        T* y = static_cast<T*>(y_) + r * width;
        if (residual_ != nullptr) {
            const T* residual = static_cast<const T*>(residual_) + r * width;
            T* sum = static_cast<T*>(sum_) + r * width;
            for_lanes(
                width, DEMI_LANES { put(sum + i, get(x + i, n) + get(residual + i, n), n); });
            x = sum;
        }
        const float m = scale * sum_lanes(
                                    width, DEMI_LANES { return get(x + i, n); });
        const vf mv = broadcast(m);
        const float variance = scale * sum_lanes(
                                           width, DEMI_LANES {
                                               const vf d = only(n, get(x + i, n) - mv, zero());
                                               return d * d;
                                           });
        const float s = 1.f / __builtin_sqrtf(variance + eps);
        const vf sv = broadcast(s);
        for_lanes(
            width, DEMI_LANES {
                const vf normal = (get(x + i, n) - mv) * sv;
                put(y + i, fma(normal, get(weight + i, n), get(bias + i, n)), n);
            });
        mean[r] = m;
        rstd[r] = s;
    }
}

// One row. The sums of g and g * n come first; dweight and dbias take their share while the row is in
// registers.
template <bool kAffine, bool kInput, class T>
DEMI_INLINE void backward_row(const T* x, const T* dy, const T* dsum, const float* weight, float m, float s,
                              T* dx, float* dweight, float* dbias, int64_t width) {
    const vf mv = broadcast(m), sv = broadcast(s);
    vf sum_g = zero(), sum_gn = zero();
    for_lanes(
        width, DEMI_LANES {
            const vf d = get(dy + i, n);
            const vf normal = (get(x + i, n) - mv) * sv;  // dy is 0 in unused lanes
            if constexpr (kAffine) {
                put(dweight + i, fma(d, normal, get(dweight + i, n)), n);
                put(dbias + i, get(dbias + i, n) + d, n);
            }
            if constexpr (kInput) {
                const vf g = d * get(weight + i, n);
                sum_g = sum_g + g;
                sum_gn = fma(g, normal, sum_gn);
            }
        });
    if constexpr (kInput) {
        const float scale = 1.f / static_cast<float>(width);
        const vf a = broadcast(scale * hsum(sum_g)), b = broadcast(scale * hsum(sum_gn));
        for_lanes(
            width, DEMI_LANES {
                const vf normal = (get(x + i, n) - mv) * sv;
                const vf g = get(dy + i, n) * get(weight + i, n);
                vf out = sv * fnma(normal, b, g - a);
                if (dsum != nullptr) out = out + get(dsum + i, n);
                put(dx + i, out, n);
            });
    }
}

template <class T>
void backward(const void* x_, const void* dy_, const void* dsum_, const float* weight, const float* mean,
              const float* rstd, void* dx_, float* dweight, float* dbias, int64_t rows, int64_t width) {
    for (int64_t r = 0; r < rows; ++r) {
        const T* x = static_cast<const T*>(x_) + r * width;
        const T* dy = static_cast<const T*>(dy_) + r * width;
        const T* dsum = dsum_ == nullptr ? nullptr : static_cast<const T*>(dsum_) + r * width;
        T* dx = dx_ == nullptr ? nullptr : static_cast<T*>(dx_) + r * width;
        if (dweight != nullptr && dx != nullptr)
            backward_row<true, true>(x, dy, dsum, weight, mean[r], rstd[r], dx, dweight, dbias, width);
        else if (dweight != nullptr)
            backward_row<true, false>(x, dy, dsum, weight, mean[r], rstd[r], dx, dweight, dbias, width);
        else
            backward_row<false, true>(x, dy, dsum, weight, mean[r], rstd[r], dx, dweight, dbias, width);
    }
}

}  // namespace

extern const LayernormIsa layernorm_isa;
const LayernormIsa layernorm_isa = {{forward<Half>, forward<BFloat16>, forward<float>},
                                    {backward<Half>, backward<BFloat16>, backward<float>}};

}  // namespace demi::DEMI_ISA_NS
