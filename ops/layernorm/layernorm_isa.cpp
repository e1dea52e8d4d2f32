#include "ops/layernorm/layernorm_isa.h"

#include "ops/common/lanes.h"

namespace demi::DEMI_ISA_NS {
namespace {

#define DEMI_RARE __attribute__((noinline))

struct Stats {
    float mean, shift, rstd, factor;  // see layernorm_kernels.h
};

// The means of d and of d^2 over a row.
struct Moments {
    float mean, square;
};
template <class F> DEMI_INLINE Moments moments(int64_t width, float share, F&& d) {
    double sum = 0, square = 0;
    for (int64_t at = 0; at < width; at += kSumBlock) {
        vf s = zero(), q = zero();
        for_lanes(
            width - at < kSumBlock ? width - at : kSumBlock, DEMI_LANES {
                const vf v = only(n, d(at + i, n), zero());
                s = s + v;
                q = q + v * v;
            });
        sum += static_cast<double>(hsum(s));
        square += static_cast<double>(hsum(q));
    }
    return {share * static_cast<float>(sum), share * static_cast<float>(square)};
}

template <class T> DEMI_RARE bool is_constant(const T* x, int64_t width) {
    const vf first = broadcast(to_float(x[0]));
    vm same = all_lanes();
    for_lanes(
        width, DEMI_LANES { same = mask_and(same, equal(only(n, get(x + i, n), first), first)); });
    return all(same);
}

// The sums of one mean, corrected by the mean of what it leaves; once more where the first try was far off.
// `value` gives x f. False where squares leave the range.
template <class F> DEMI_INLINE bool find_stats(int64_t width, F&& value, Stats& s, float& variance) {
    const float share = 1.f / static_cast<float>(width);
    s.mean = share * sum_lanes(width, value);
    Moments d;
    for (int turn = 0;; ++turn) {
        const vf m = broadcast(s.mean);
        d = moments(
            width, share, DEMI_LANES { return value(i, n) - m; });
        if (turn == 1 || d.mean * d.mean <= 0x1p-10f * d.square) break;
        s.mean = s.mean + d.mean;
    }
    s.shift = d.mean;
    variance = d.square - d.mean * d.mean;
    if (variance < 0) variance = 0;
    return variance < __builtin_inff();
}

// A shift that moves no n by 2^-20 is as good as none.
DEMI_INLINE void drop_small_shift(Stats& s) {
    const float moved = s.shift * s.rstd;
    if (moved < 0x1p-20f && moved > -0x1p-20f) s.shift = 0;
}

template <class T> DEMI_RARE void rare_stats(const T* x, int64_t width, float eps, Stats& s) {
    const float root_eps = __builtin_sqrtf(eps);
    if (is_constant(x, width)) {
        s = {0, 0, eps > 0 ? 1.f / root_eps : 0.f, 0};
        return;
    }
    s.factor = power_of_two(balance(max_abs(x, width), 30));
    const vf f = broadcast(s.factor);
    float variance;
    find_stats(
        width, DEMI_LANES { return get(x + i, n) * f; }, s, variance);
    const float a = __builtin_sqrtf(variance), b = root_eps * s.factor;
    const float high = a > b ? a : b, low = a > b ? b : a;
    s.rstd = 1.f / (high * __builtin_sqrtf(1.f + low / high * (low / high)));
    drop_small_shift(s);
}

template <class T> DEMI_INLINE void stats_of(const T* x, int64_t width, float eps, Stats& s) {
    float variance;
    s.factor = 1;
    const bool fits = find_stats(
        width, DEMI_LANES { return get(x + i, n); }, s, variance);
    if (!fits || variance == 0 || variance + eps < 1e-30f) return rare_stats(x, width, eps, s);
    s.rstd = 1.f / __builtin_sqrtf(variance + eps);
    drop_small_shift(s);
}

template <bool kPlain, class T>
DEMI_INLINE void write_row(const T* x, const float* weight, const float* bias, const Stats& s, T* y,
                           int64_t width) {
    const vf m = broadcast(s.mean), c = broadcast(s.shift), r = broadcast(s.rstd), f = broadcast(s.factor);
    for_lanes(
        width, DEMI_LANES {
            const vf v = get(x + i, n);
            const vf normal = (((kPlain ? v : v * f) - m) - c) * r;
            put(y + i, fma(normal, get(weight + i, n), get(bias + i, n)), n);
        });
}

template <class T>
void forward(const void* x_, const void* residual_, const float* weight, const float* bias, void* sum_,
             void* y_, float* stats, int64_t rows, int64_t width, float eps) {
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
        Stats s;
        stats_of(x, width, eps, s);
        if (s.factor == 1)
            write_row<true>(x, weight, bias, s, y, width);
        else
            write_row<false>(x, weight, bias, s, y, width);
        __builtin_memcpy(stats + 4 * r, &s, sizeof s);
    }
}

// One row of factor 1. The sums of g and g * n come first; dweight and dbias take their share while the row
// is in registers. False where a result is not finite.
template <bool kAffine, bool kInput, class T>
DEMI_INLINE bool backward_row(const T* x, const T* dy, const T* dsum, const float* weight, const Stats& s,
                              T* dx, float* dweight, float* dbias, int64_t width) {
    const vf m = broadcast(s.mean), c = broadcast(s.shift), r = broadcast(s.rstd);
    double total_g = 0, total_gn = 0;
    for (int64_t at = 0; at < width; at += kSumBlock) {
        vf sum_g = zero(), sum_gn = zero();
        for_lanes(
            width - at < kSumBlock ? width - at : kSumBlock, DEMI_LANES {
                const int64_t k = at + i;
                const vf d = get(dy + k, n);
                const vf normal = ((get(x + k, n) - m) - c) * r;  // dy is 0 in unused lanes
                if constexpr (kAffine) {
                    put(dweight + k, fma(d, normal, get(dweight + k, n)), n);
                    put(dbias + k, get(dbias + k, n) + d, n);
                }
                if constexpr (kInput) {
                    const vf g = d * get(weight + k, n);
                    sum_g = sum_g + g;
                    sum_gn = fma(g, normal, sum_gn);
                }
            });
        total_g += static_cast<double>(hsum(sum_g));
        total_gn += static_cast<double>(hsum(sum_gn));
    }
    vm good = all_lanes();
    if constexpr (kInput) {
        const float share = 1.f / static_cast<float>(width);
        const vf a = broadcast(share * static_cast<float>(total_g)),
                 b = broadcast(share * static_cast<float>(total_gn));
        for_lanes(
            width, DEMI_LANES {
                const vf normal = ((get(x + i, n) - m) - c) * r;
                const vf g = get(dy + i, n) * get(weight + i, n);
                vf out = r * fnma(normal, b, g - a);
                if (dsum != nullptr) out = out + get(dsum + i, n);
                good = mask_and(good, is_finite(out));
                put(dx + i, out, n);
            });
    }
    return all(good);
}

// Any row, with dy times 2^h; the mean of g is corrected, so that a constant row turns a constant g into 0.
template <class T>
DEMI_RARE void rare_row(const T* x, const T* dy, const T* dsum, const float* weight, const Stats& s, T* dx,
                        float* dweight, float* dbias, int64_t width) {
    const vf m = broadcast(s.mean), c = broadcast(s.shift), r = broadcast(s.rstd), f = broadcast(s.factor);
    const auto normal = DEMI_LANES { return ((get(x + i, n) * f - m) - c) * r; };
    if (dweight != nullptr)
        for_lanes(
            width, DEMI_LANES {
                const vf d = get(dy + i, n);
                put(dweight + i, fma(d, normal(i, n), get(dweight + i, n)), n);
                put(dbias + i, get(dbias + i, n) + d, n);
            });
    if (dx == nullptr) return;
    const int h = balance(max_abs(dy, width), -10);
    const int e = s.factor == 0 ? 0 : static_cast<int>(float_to_bits(s.factor) >> 23) - 127;
    const vf down = broadcast(power_of_two(h)), back = broadcast(static_cast<float>(e - h));
    const auto grad = DEMI_LANES { return get(dy + i, n) * down * get(weight + i, n); };
    const float share = 1.f / static_cast<float>(width);
    vf a = broadcast(share * sum_lanes(width, grad));
    a = a + broadcast(share * sum_lanes(
                                  width, DEMI_LANES { return only(n, grad(i, n) - a, zero()); }));
    const vf b = broadcast(share * sum_lanes(
                                       width, DEMI_LANES { return grad(i, n) * normal(i, n); }));
    for_lanes(
        width, DEMI_LANES {
            vf out = scale_by_exponent(r * fnma(normal(i, n), b, grad(i, n) - a), back);
            if (dsum != nullptr) out = out + get(dsum + i, n);
            put(dx + i, out, n);
        });
}

template <class T>
void backward(const void* x_, const void* dy_, const void* dsum_, const float* weight, const float* stats,
              void* dx_, float* dweight, float* dbias, int64_t rows, int64_t width) {
    for (int64_t r = 0; r < rows; ++r) {
        const T* x = static_cast<const T*>(x_) + r * width;
        const T* dy = static_cast<const T*>(dy_) + r * width;
        const T* dsum = dsum_ == nullptr ? nullptr : static_cast<const T*>(dsum_) + r * width;
        T* dx = dx_ == nullptr ? nullptr : static_cast<T*>(dx_) + r * width;
        Stats s;
        __builtin_memcpy(&s, stats + 4 * r, sizeof s);
        if (s.factor != 1) {
            rare_row(x, dy, dsum, weight, s, dx, dweight, dbias, width);
            continue;
        }
        bool good = true;
        if (dweight != nullptr && dx != nullptr)
            good = backward_row<true, true>(x, dy, dsum, weight, s, dx, dweight, dbias, width);
        else if (dweight != nullptr)
            backward_row<true, false>(x, dy, dsum, weight, s, dx, dweight, dbias, width);
        else
            good = backward_row<false, true>(x, dy, dsum, weight, s, dx, dweight, dbias, width);
        if (!good) rare_row(x, dy, dsum, weight, s, dx, nullptr, nullptr, width);
    }
}

}  // namespace

extern const LayernormIsa layernorm_isa;
const LayernormIsa layernorm_isa = {{forward<Half>, forward<BFloat16>, forward<float>},
                                    {backward<Half>, backward<BFloat16>, backward<float>}};

}  // namespace demi::DEMI_ISA_NS
