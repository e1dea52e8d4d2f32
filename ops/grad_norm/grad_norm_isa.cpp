#include "ops/grad_norm/grad_norm_isa.h"

#include "ops/common/lanes.h"

namespace demi::DEMI_ISA_NS {
namespace {

// Sixteen sums on every instruction set: the same bits everywhere.
constexpr int kSums = 16, kBlock = 64;

DEMI_INLINE void add_squares(const float* x, double* sums) {
    for (int k = 0; k < kBlock; k += kSums)
        for (int j = 0; j < kSums; ++j) {
            const double v = static_cast<double>(x[k + j]);
            sums[j] += v * v;
        }
}

template <class T> double sum_squares(const void* x_, int64_t count) {
    const T* x = static_cast<const T*>(x_);
    double sums[kSums] = {};
    alignas(64) float block[kBlock];
    int64_t at = 0;
    for (; at + kBlock <= count; at += kBlock) {
        for_lanes(
            kBlock, DEMI_LANES { put(block + i, get(x + at + i, n), n); });
        add_squares(block, sums);
    }
    if (at < count) {
        for_lanes(
            kBlock, DEMI_LANES { put(block + i, zero(), n); });
        for_lanes(
            count - at, DEMI_LANES { put(block + i, get(x + at + i, n), n); });
        add_squares(block, sums);
    }
    double total = 0;
    for (int j = 0; j < kSums; ++j) total += sums[j];
    return total;
}

template <class T> void scale(void* x_, int64_t count, float factor) {
    T* x = static_cast<T*>(x_);
    const vf f = broadcast(factor);
    for_lanes(
        count, DEMI_LANES { put(x + i, get(x + i, n) * f, n); });
}

// x * 0 is 0, but NaN for infinity and NaN.
template <class T> bool finite(const void* x_, int64_t count) {
    const T* x = static_cast<const T*>(x_);
    return sum_lanes(
               count, DEMI_LANES { return get(x + i, n) * zero(); }) == 0;
}

}  // namespace

extern const GradNormIsa grad_norm_isa;
const GradNormIsa grad_norm_isa = {{sum_squares<Half>, sum_squares<BFloat16>, sum_squares<float>},
                                   {scale<Half>, scale<BFloat16>, scale<float>},
                                   {finite<Half>, finite<BFloat16>, finite<float>}};

}  // namespace demi::DEMI_ISA_NS
