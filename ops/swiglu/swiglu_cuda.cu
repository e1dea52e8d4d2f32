#include "ops/swiglu/swiglu_cuda.h"

#include "ops/common/activation.cuh"
#include "ops/common/pack.cuh"

namespace demi::gpu_kernels {
namespace {

// g b slope, where g b may leave the range and slope bring it back.
template <class C> DEMI_DEVICE C gate_grad(C g, C b, const SiluParts<C>& s) {
    const C product = g * b;
    if (gpu::is_finite(product)) return product * s.slope * s.scale;
    const C down = sizeof(C) == 8 ? C(0x1p-512) : C(0x1p-64f), up = 1 / down;
    return (g * down) * (b * down) * s.slope * s.scale * up * up;
}

// A thread takes a pack of a row of y, and the two packs of x that belong to it.
template <class T, bool kBackward> struct SwigluKernel {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = 256;
    SwigluCall p;
    bool aligned;

    DEMI_DEVICE void operator()() const {
        const int64_t packs = (p.half + kPack<T> - 1) / kPack<T>;
        for (int64_t i = gpu::global_index(); i < p.rows * packs; i += gpu::global_size()) {
            const int64_t row = i / packs, at = (i - row * packs) * kPack<T>;
            pack_at(row, at, static_cast<int>(p.half - at < kPack<T> ? p.half - at : kPack<T>));
        }
    }
    DEMI_DEVICE void pack_at(int64_t row, int64_t at, int count) const {
        const T* x = static_cast<const T*>(p.x) + 2 * p.half * row + at;
        Values<T> a = read_values(x, count, aligned), b = read_values(x + p.half, count, aligned);
        if constexpr (!kBackward) {
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) {
                const SiluParts<C> s = silu_parts(a.v[i]);
                a.v[i] = s.value * b.v[i] * s.scale;
            }
            write_values(static_cast<T*>(p.out) + p.half * row + at, a, count, aligned);
        } else {
            const Values<T> dy = read_values(static_cast<const T*>(p.dy) + p.half * row + at, count, aligned);
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) {
                const SiluParts<C> s = silu_parts(a.v[i]);
                a.v[i] = gate_grad(dy.v[i], b.v[i], s);
                b.v[i] = dy.v[i] * s.value * s.scale;
            }
            T* dx = static_cast<T*>(p.out) + 2 * p.half * row + at;
            write_values(dx, a, count, aligned);
            write_values(dx + p.half, b, count, aligned);
        }
    }
};

template <bool kBackward> void launch(gpu::Type type, const SwigluCall& call, gpu::Stream stream) {
    gpu::dispatch_float(type, [&](auto tag) {
        typedef gpu::tag_t<decltype(tag)> T;
        const bool aligned = call.half % kPack<T> == 0 && all_aligned(call.x, call.dy, call.out);
        const int64_t packs = call.rows * ((call.half + kPack<T> - 1) / kPack<T>);
        gpu::launch(SwigluKernel<T, kBackward>{call, aligned}, gpu::blocks_for(packs, 256), {256}, 0, stream);
    });
}

}  // namespace

void swiglu_forward(gpu::Type type, const SwigluCall& call, gpu::Stream stream) {
    launch<false>(type, call, stream);
}
void swiglu_backward(gpu::Type type, const SwigluCall& call, gpu::Stream stream) {
    launch<true>(type, call, stream);
}

}  // namespace demi::gpu_kernels
