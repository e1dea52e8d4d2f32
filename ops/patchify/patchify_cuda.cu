#include "ops/patchify/patchify_cuda.h"

#include "runtime/cuda/gpu.h"

namespace demi::gpu_kernels {
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

template <class U> void move(const PatchifyCall& c, int64_t line_bytes, gpu::Stream stream) {
    const int64_t line = line_bytes / static_cast<int64_t>(sizeof(U)), down = c.height / c.patch;
    const int64_t across = c.width / c.patch, count = c.batch * c.channels * c.height * across * line;
    const U* from = static_cast<const U*>(c.from);
    U* to = static_cast<U*>(c.to);
    const gpu::Dim3 grid = gpu::blocks_for(count, 256);
    if (count < int64_t{1} << 32) {  // 32-bit divisions are several times faster
        const auto i = [](int64_t x) { return static_cast<uint32_t>(x); };
        gpu::launch(MoveKernel<U, uint32_t>{from, to, i(c.channels), i(c.patch), i(line), i(down), i(across),
                                            count, c.to_patches},
                    grid, {256}, 0, stream);
    } else {
        const auto i = [](int64_t x) { return static_cast<uint64_t>(x); };
        gpu::launch(MoveKernel<U, uint64_t>{from, to, i(c.channels), i(c.patch), i(line), i(down), i(across),
                                            count, c.to_patches},
                    grid, {256}, 0, stream);
    }
}

}  // namespace

void patchify_move(const PatchifyCall& c, gpu::Stream stream) {
    const int64_t bytes = c.patch * c.element;
    const uintptr_t both = reinterpret_cast<uintptr_t>(c.from) | reinterpret_cast<uintptr_t>(c.to);
    const auto fits = [&](int64_t unit) {
        return bytes % unit == 0 && both % static_cast<uintptr_t>(unit) == 0;
    };
    if (fits(16))
        move<gpu::Bytes16>(c, bytes, stream);
    else if (fits(8))
        move<uint64_t>(c, bytes, stream);
    else if (fits(4))
        move<uint32_t>(c, bytes, stream);
    else if (fits(2))
        move<uint16_t>(c, bytes, stream);
    else
        move<uint8_t>(c, bytes, stream);
}

}  // namespace demi::gpu_kernels
