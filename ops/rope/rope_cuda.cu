#include "ops/rope/rope_kernels.h"

#include "ops/kernel_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

// A thread takes a pack of the first half of a row, and the pack of the second half that belongs to it.
template <class T> struct RotateKernel {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = 256;
    Rope c;
    int64_t rows;  // of a token that are visited: without the rows that stay, where y is x
    bool aligned;

    DEMI_DEVICE void operator()() const {
        const int64_t packs = (c.half + kPack<T> - 1) / kPack<T>, count = c.tokens * rows * packs;
        for (int64_t i = gpu::global_index(); i < count; i += gpu::global_size()) {
            const int64_t line = i / packs, at = (i - line * packs) * kPack<T>;
            const int64_t token = line / rows, row = line - token * rows;
            const int64_t position = token % (c.prefix + c.positions) - c.prefix;
            pack_at((token * c.rows + row) * 2 * c.half + at, row < c.rotated ? position : -1, at,
                    static_cast<int>(c.half - at < kPack<T> ? c.half - at : kPack<T>));
        }
    }
    DEMI_DEVICE void pack_at(int64_t first, int64_t position, int64_t at, int count) const {
        const T* x = elements<T>(c.x) + first;
        T* y = elements<T>(c.y) + first;
        if (position < 0) {
            if (c.x.data == c.y.data) return;
            write_pack(y, read_pack(x, count, aligned), count, aligned);
            write_pack(y + c.half, read_pack(x + c.half, count, aligned), count, aligned);
            return;
        }
        const C* cosines = elements<C>(c.table) + position * c.half + at;
        const Values<T> cos = read_beside<T>(cosines, count, aligned);
        const Values<T> sin = read_beside<T>(cosines + c.positions * c.half, count, aligned);
        Values<T> a = read_values(x, count, aligned), b = read_values(x + c.half, count, aligned);
        DEMI_UNROLL
        for (int i = 0; i < kPack<T>; ++i) {
            const C s = c.back ? -sin.v[i] : sin.v[i], turned = a.v[i] * cos.v[i] - b.v[i] * s;
            b.v[i] = b.v[i] * cos.v[i] + a.v[i] * s;
            a.v[i] = turned;
        }
        write_values(y, a, count, aligned);
        write_values(y + c.half, b, count, aligned);
    }
};

void rotate(const Rope& c, Queue queue) {
    gpu::dispatch_float(c.x.dtype, [&](auto tag) {
        typedef gpu::tag_t<decltype(tag)> T;
        const bool aligned = c.half % kPack<T> == 0 && all_aligned(c.x.data, c.y.data, c.table.data);
        const int64_t rows = c.x.data == c.y.data ? c.rotated : c.rows;
        const int64_t packs = c.tokens * rows * ((c.half + kPack<T> - 1) / kPack<T>);
        gpu::launch(RotateKernel<T>{c, rows, aligned}, gpu::blocks_for(packs, 256), {256}, 0, queue.stream);
    });
}

}  // namespace

const RopeKernels rope_kernels{rotate};

}  // namespace demi::DEMI_BACKEND
