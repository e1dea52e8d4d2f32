#include <cstring>

#include "ops/patchify/patchify_kernels.h"
#include "runtime/parallel.h"

namespace demi {

namespace {

// fn(byte offset in the image, byte offset in the patches) for every line of p elements, one row of patches a
// tile.
template <class F> void for_each_line(const Tensor& image, int64_t p, F&& fn) {
    const int64_t bytes = static_cast<int64_t>(size_of(image.dtype()));
    const int64_t channels = image.size(1), height = image.size(2), width = image.size(3);
    const int64_t down = height / p, across = width / p;
    parallel_for(image.size(0) * down, [&](int64_t tile) {
        const int64_t b = tile / down, row = tile % down;
        for (int64_t c = 0; c < channels; ++c)
            for (int64_t y = 0; y < p; ++y) {
                const int64_t from = ((b * channels + c) * height + row * p + y) * width;
                const int64_t to = (tile * across * channels + c) * p * p + y * p;
                for (int64_t x = 0; x < across; ++x)
                    fn((from + x * p) * bytes, (to + x * channels * p * p) * bytes);
            }
    });
}

// Lines of a fixed length become a few moves instead of a call.
template <class F> void with_length(int64_t bytes, F&& copy) {
    switch (bytes) {
    case 16: return copy([](char* to, const char* from) { std::memcpy(to, from, 16); });
    case 32: return copy([](char* to, const char* from) { std::memcpy(to, from, 32); });
    case 56: return copy([](char* to, const char* from) { std::memcpy(to, from, 56); });
    case 64: return copy([](char* to, const char* from) { std::memcpy(to, from, 64); });
    default:
        return copy(
            [bytes](char* to, const char* from) { std::memcpy(to, from, static_cast<size_t>(bytes)); });
    }
}

void forward(const Tensor& image, int64_t patch, Tensor& patches) {
    const char* from = static_cast<const char*>(image.raw());
    char* to = static_cast<char*>(patches.mutable_raw());
    with_length(patch * static_cast<int64_t>(size_of(image.dtype())), [&](auto line) {
        for_each_line(image, patch, [&](int64_t in, int64_t out) { line(to + out, from + in); });
    });
}

void backward(const Tensor& patches, int64_t patch, Tensor& image) {
    const char* from = static_cast<const char*>(patches.raw());
    char* to = static_cast<char*>(image.mutable_raw());
    with_length(patch * static_cast<int64_t>(size_of(image.dtype())), [&](auto line) {
        for_each_line(image, patch, [&](int64_t in, int64_t out) { line(to + in, from + out); });
    });
}

}  // namespace

const PatchifyKernels patchify_cpu{.forward = forward, .backward = backward};

}  // namespace demi
