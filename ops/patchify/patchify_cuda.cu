#include "ops/patchify/patchify_kernels.h"

#include "ops/kernel_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

// Units are numbered as they lie in the patches: [batch, down, across, channels, patch, line].
template <class U, class I> struct Move {
    const U* from;
    U* to;
    I channels, patch, line, down, across;  // line: units in a line of a patch
    bool to_patches;

    DEMI_DEVICE void operator()(int64_t n) const {
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
            static_cast<int64_t>(((b * channels + c) * down * patch + row * patch + y) * across + column) *
                static_cast<int64_t>(line) +
            static_cast<int64_t>(u);
        if (to_patches)
            to[n] = from[image];
        else
            to[image] = from[n];
    }
};

void move(const Patchify& c, Queue queue) {
    const size_t bytes = static_cast<size_t>(c.patch) * size_of(c.from.dtype);
    with_unit(bytes | address(c.from.data) | address(c.to.data), [&](auto tag) {
        typedef gpu::tag_t<decltype(tag)> U;
        const int64_t line = static_cast<int64_t>(bytes / sizeof(U)), down = c.height / c.patch;
        const int64_t across = c.width / c.patch, count = c.batch * c.channels * c.height * across * line;
        const auto launch = [&](auto number) {
            typedef decltype(number) I;
            const auto i = [](int64_t x) { return static_cast<I>(x); };
            launch_each(Move<U, I>{elements<U>(c.from), elements<U>(c.to), i(c.channels), i(c.patch), i(line),
                                   i(down), i(across), c.to_patches},
                        count, queue);
        };
        // 32-bit divisions are several times faster
        count < int64_t{1} << 32 ? launch(uint32_t{}) : launch(uint64_t{});
    });
}

}  // namespace

const PatchifyKernels patchify_kernels{move};

}  // namespace demi::DEMI_BACKEND
