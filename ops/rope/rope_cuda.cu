#include "ops/rope/rope_kernels.h"

#include "ops/kernel_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

// Rows of a token: without those that stay, where y is x.
DEMI_HOST_DEVICE int64_t visited(const Rope& c) { return c.x.data == c.y.data ? c.rotated : c.rows; }

// A thread takes a pack of the first half of a row, and the pack of the second half that belongs to it.
template <class T> struct RotatePack {
    typedef gpu::compute_t<T> C;
    Rope c;
    bool aligned;

    DEMI_DEVICE void operator()(int64_t line, int64_t at, int count) const {
        const int64_t rows = visited(c), token = line / rows, row = line - token * rows;
        const int64_t first = (token * c.rows + row) * 2 * c.half + at;
        const int64_t position = row < c.rotated ? token % (c.prefix + c.positions) - c.prefix : -1;
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
    const bool lines = all_aligned(c.x.data, c.y.data, c.table.data);
    launch_packs<RotatePack>(c.x.dtype, c, lines, c.tokens * visited(c), c.half, queue);
}

}  // namespace

const RopeKernels rope_kernels{rotate};

}  // namespace demi::DEMI_BACKEND
