#include "ops/l2_normalize/l2_normalize_isa.h"

#include "ops/common/lanes.h"

namespace demi::DEMI_ISA_NS {
namespace {

constexpr int kTarget = 30;

// Rows whose squares, or products with dy, leave the range: with x times 2^e and dy times 2^h.
template <class T> struct Scaled {
    int e;
    float factor, norm;  // of x times factor

    Scaled(const T* x, int64_t width) : e(balance(max_abs(x, width), kTarget)), factor(power_of_two(e)) {
        const vf f = broadcast(factor);
        norm = __builtin_sqrtf(sum_lanes(
            width, DEMI_LANES {
                const vf v = get(x + i, n) * f;
                return v * v;
            }));
    }
};

template <class T>
__attribute__((noinline)) float forward_scaled(const T* x, T* y, float eps, int64_t width) {
    const Scaled<T> s(x, width);
    const bool free = s.norm > eps * s.factor;
    const vf factor = broadcast(free ? s.factor : 1.f), scale = broadcast(1.f / (free ? s.norm : eps));
    for_lanes(
        width, DEMI_LANES { put(y + i, get(x + i, n) * factor * scale, n); });
    return s.norm / s.factor;
}

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
        if (!(square >= 1e-30f && square < __builtin_inff())) {
            norms[r] = forward_scaled(x, y, eps, width);
            continue;
        }
        norms[r] = __builtin_sqrtf(square);
        const vf scale = broadcast(1.f / (norms[r] > eps ? norms[r] : eps));
        for_lanes(
            width, DEMI_LANES { put(y + i, get(x + i, n) * scale, n); });
    }
}

template <class T>
__attribute__((noinline)) void backward_scaled(const T* x, const T* dy, T* dx, int64_t width) {
    const Scaled<T> s(x, width);
    const int h = balance(max_abs(dy, width), kTarget);
    const vf factor = broadcast(s.factor), scale = broadcast(1.f / s.norm), down = broadcast(power_of_two(h));
    const vf back = broadcast(static_cast<float>(s.e - h));
    const vf along = broadcast(sum_lanes(
        width, DEMI_LANES { return get(x + i, n) * factor * scale * (get(dy + i, n) * down); }));
    for_lanes(
        width, DEMI_LANES {
            const vf y = get(x + i, n) * factor * scale;
            put(dx + i, scale_by_exponent(fnma(y, along, get(dy + i, n) * down) * scale, back), n);
        });
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
        vm good = all_lanes();
        for_lanes(
            width, DEMI_LANES {
                const vf out = s * fnma(get(x + i, n), along, get(dy + i, n));
                good = mask_and(good, is_finite(out));
                put(dx + i, out, n);
            });
        if (free && !(all(good) && norms[r] >= 1e-15f && norms[r] < 1.8e19f))
            backward_scaled(x, dy, dx, width);
    }
}

}  // namespace

extern const L2NormalizeIsa l2_normalize_isa;
const L2NormalizeIsa l2_normalize_isa = {{forward<Half>, forward<BFloat16>, forward<float>},
                                         {backward<Half>, backward<BFloat16>, backward<float>}};

}  // namespace demi::DEMI_ISA_NS
