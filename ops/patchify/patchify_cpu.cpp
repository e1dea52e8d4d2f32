#include "ops/patchify/patchify_kernels.h"

#include "ops/kernel_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

// line(to, from) moves the `patch` elements of one line of a patch; a tile is one row of patches.
template <class F> DEMI_INLINE void for_each_line(const Patchify& c, const F& line) {
    const int64_t bytes = static_cast<int64_t>(size_of(c.from.dtype)), p = c.patch;
    const int64_t down = c.height / p, across = c.width / p;
    parallel_for(c.batch * down, [&](int64_t tile) {
        const int64_t b = tile / down, grid_row = tile % down;
        for (int64_t channel = 0; channel < c.channels; ++channel)
            for (int64_t y = 0; y < p; ++y) {
                const int64_t image = ((b * c.channels + channel) * c.height + grid_row * p + y) * c.width;
                const int64_t patches = (tile * across * c.channels + channel) * p * p + y * p;
                for (int64_t x = 0; x < across; ++x) {
                    const int64_t i = (image + x * p) * bytes, o = (patches + x * c.channels * p * p) * bytes;
                    line(static_cast<char*>(c.to.data) + (c.to_patches ? o : i),
                         static_cast<const char*>(c.from.data) + (c.to_patches ? i : o));
                }
            }
    });
}

// Lines of a fixed length become a few moves instead of a call.
void move(const Patchify& c, Queue) {
    const size_t bytes = static_cast<size_t>(c.patch) * size_of(c.from.dtype);
    switch (bytes) {
    case 16: return for_each_line(c, [](char* to, const char* from) { __builtin_memcpy(to, from, 16); });
    case 32: return for_each_line(c, [](char* to, const char* from) { __builtin_memcpy(to, from, 32); });
    case 56: return for_each_line(c, [](char* to, const char* from) { __builtin_memcpy(to, from, 56); });
    case 64: return for_each_line(c, [](char* to, const char* from) { __builtin_memcpy(to, from, 64); });
    default: for_each_line(c, [bytes](char* to, const char* from) { __builtin_memcpy(to, from, bytes); });
    }
}

}  // namespace

const PatchifyKernels patchify_kernels{move};

}  // namespace demi::DEMI_BACKEND
