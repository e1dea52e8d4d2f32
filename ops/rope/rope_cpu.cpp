#include "ops/rope/rope_kernels.h"

#include "ops/kernel_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

template <bool back, class T>
void rotate_row(const T* x, T* y, const lane_t<T>* cosines, const lane_t<T>* sines, int64_t half) {
    for_lanes<T>(half, [&] DEMI_LANES {
        const auto a = get(x + i, n), b = get(x + half + i, n);
        const auto c = get(cosines + i, n), s = get(sines + i, n);
        put(y + i, back ? fma(b, s, a * c) : fnma(b, s, a * c), n);
        put(y + half + i, back ? fnma(a, s, b * c) : fma(a, s, b * c), n);
    });
}

template <class T> void rotate_token(const Rope& c, int64_t token) {
    const int64_t width = 2 * c.half, all = c.rows * width;
    const T* x = elements<T>(c.x) + token * all;
    T* y = elements<T>(c.y) + token * all;
    const int64_t position = token % (c.prefix + c.positions) - c.prefix;
    const int64_t turned = position < 0 ? 0 : c.rotated;
    for (int64_t r = 0; r < turned; ++r) {
        const lane_t<T>* cosines = elements<lane_t<T>>(c.table) + position * c.half;
        const lane_t<T>* sines = cosines + c.positions * c.half;
        c.back ? rotate_row<true>(x + r * width, y + r * width, cosines, sines, c.half)
               : rotate_row<false>(x + r * width, y + r * width, cosines, sines, c.half);
    }
    if (x != y)
        __builtin_memcpy(y + turned * width, x + turned * width,
                         static_cast<size_t>(all - turned * width) * sizeof(T));
}

void rotate(const Rope& c, Queue) {
    dispatch_float(c.x.dtype, [&]<class T>() {
        parallel_rows(c.tokens, c.rows * 2 * c.half, [&](int64_t first, int64_t count) {
            for (int64_t token = first; token < first + count; ++token) rotate_token<T>(c, token);
        });
    });
}

}  // namespace

const RopeKernels rope_kernels{rotate};

}  // namespace demi::DEMI_BACKEND
