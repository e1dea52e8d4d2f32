#include "ops/patchify/patchify_kernels.h"

#include "ops/kernel_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

// Units are numbered as they lie in the patches: [batch, down, across, channels, patch, line].
template <class U, class I> struct MoveKernel {
    static constexpr int threads = 256;
    const U* from;
    U* to;
    I channels, patch, line, down, across;  // line: units in a line of a patch
    int64_t count;
    bool to_patches;

    DEMI_DEVICE void operator()() const {
        for (int64_t n = gpu::global_index(); n < count; n += gpu::global_size()) {
            I rest = static_cast<I>(n);
            const I u = rest % line;
            rest /= line;
            const I y = rest % patch;
            rest /= patch;
            const I c = rest % channels;
            rest /= channels;
            const I column = rest % across;
            rest /= across;
            const I row = rest % down, b = rest / down;
            const int64_t image =
                static_cast<int64_t>(((b * channels + c) * down * patch + row * patch + y) * across +
                                     column) *
                    static_cast<int64_t>(line) +
                static_cast<int64_t>(u);
            if (to_patches)
                to[n] = from[image];
            else
                to[image] = from[n];
        }
    }
};

template <class U> void move_units(const Patchify& c, int64_t line_bytes, Queue queue) {
    const int64_t line = line_bytes / static_cast<int64_t>(sizeof(U)), down = c.height / c.patch;
    const int64_t across = c.width / c.patch, count = c.batch * c.channels * c.height * across * line;
    const U* from = elements<U>(c.from);
    U* to = elements<U>(c.to);
    const gpu::Dim3 grid = gpu::blocks_for(count, 256);
    if (count < int64_t{1} << 32) {  // 32-bit divisions are several times faster
        const auto i = [](int64_t x) { return static_cast<uint32_t>(x); };
        gpu::launch(MoveKernel<U, uint32_t>{from, to, i(c.channels), i(c.patch), i(line), i(down), i(across),
                                            count, c.to_patches},
                    grid, {256}, 0, queue.stream);
    } else {
        const auto i = [](int64_t x) { return static_cast<uint64_t>(x); };
        gpu::launch(MoveKernel<U, uint64_t>{from, to, i(c.channels), i(c.patch), i(line), i(down), i(across),
                                            count, c.to_patches},
                    grid, {256}, 0, queue.stream);
    }
}

void move(const Patchify& c, Queue queue) {
    const int64_t bytes = c.patch * static_cast<int64_t>(size_of(c.from.dtype));
    const uintptr_t both = reinterpret_cast<uintptr_t>(c.from.data) | reinterpret_cast<uintptr_t>(c.to.data);
    const auto fits = [&](int64_t unit) {
        return bytes % unit == 0 && both % static_cast<uintptr_t>(unit) == 0;
    };
    if (fits(16))
        move_units<gpu::Bytes16>(c, bytes, queue);
    else if (fits(8))
        move_units<uint64_t>(c, bytes, queue);
    else if (fits(4))
        move_units<uint32_t>(c, bytes, queue);
    else if (fits(2))
        move_units<uint16_t>(c, bytes, queue);
    else
        move_units<uint8_t>(c, bytes, queue);
}

}  // namespace

const PatchifyKernels patchify_kernels{move};

}  // namespace demi::DEMI_BACKEND
