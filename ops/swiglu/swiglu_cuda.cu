#include "ops/swiglu/swiglu_kernels.h"

#include "ops/elementwise/activation_cuda.h"
#include "ops/kernel_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

// g b slope, where g b may leave the range and slope bring it back.
template <class C> DEMI_DEVICE C gate_grad(C g, C b, const SiluParts<C>& s) {
    const C product = g * b;
    if (gpu::is_finite(product)) return product * s.slope * s.scale;
    const C down = sizeof(C) == 8 ? C(0x1p-512) : C(0x1p-64f), up = 1 / down;
    return (g * down) * (b * down) * s.slope * s.scale * up * up;
}

// A thread takes a pack of a row of y, and the two packs of x that belong to it.
template <class T, class Call> struct SwigluPack {
    typedef gpu::compute_t<T> C;
    static constexpr bool kBackward = IsSame<Call, SwigluBackward>::value;
    Call c;
    bool aligned;

    DEMI_DEVICE void operator()(int64_t row, int64_t at, int count) const {
        const T* x = elements<T>(c.x) + 2 * c.half * row + at;
        Values<T> a = read_values(x, count, aligned), b = read_values(x + c.half, count, aligned);
        if constexpr (!kBackward) {
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) {
                const SiluParts<C> s = silu_parts(a.v[i]);
                a.v[i] = s.value * b.v[i] * s.scale;
            }
            write_values(elements<T>(c.y) + c.half * row + at, a, count, aligned);
        } else {
            const Values<T> dy = read_values(elements<T>(c.dy) + c.half * row + at, count, aligned);
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) {
                const SiluParts<C> s = silu_parts(a.v[i]);
                a.v[i] = gate_grad(dy.v[i], b.v[i], s);
                b.v[i] = dy.v[i] * s.value * s.scale;
            }
            T* dx = elements<T>(c.dx) + 2 * c.half * row + at;
            write_values(dx, a, count, aligned);
            write_values(dx + c.half, b, count, aligned);
        }
    }
};

template <class T> using Forward = SwigluPack<T, SwigluForward>;
template <class T> using Backward = SwigluPack<T, SwigluBackward>;

void forward(const SwigluForward& c, Queue queue) {
    launch_packs<Forward>(c.x.dtype, c, all_aligned(c.x.data, c.y.data), c.rows, c.half, queue);
}
void backward(const SwigluBackward& c, Queue queue) {
    const bool lines = all_aligned(c.x.data, c.dy.data, c.dx.data);
    launch_packs<Backward>(c.x.dtype, c, lines, c.rows, c.half, queue);
}

}  // namespace

const SwigluKernels swiglu_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
