#include "ops/dropout/dropout_kernels.h"

#include "ops/kernel_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

DEMI_DEVICE uint64_t offset_of(const Drop& c) { return c.live != nullptr ? *c.live : c.offset; }

// A thread takes whole Philox blocks of four elements.
template <class T> struct ElementGroup {
    typedef gpu::compute_t<T> C;
    static constexpr int kAtOnce = kPack<T> < 4 ? 4 : kPack<T>;
    Drop c;
    bool aligned;

    DEMI_DEVICE void operator()(int64_t g) const {
        const C scale = static_cast<C>(c.scale);
        const uint64_t offset = offset_of(c);
        bool keep[kAtOnce];
        DEMI_UNROLL
        for (int b = 0; b < kAtOnce / 4; ++b) {
            const gpu::Words4 words =
                gpu::philox_block(c.seed, offset + static_cast<uint64_t>(g * (kAtOnce / 4) + b));
            DEMI_UNROLL
            for (int i = 0; i < 4; ++i) keep[4 * b + i] = (words.w[i] >> 8) >= c.threshold;
        }
        DEMI_UNROLL
        for (int part = 0; part < kAtOnce / kPack<T>; ++part) {
            const int64_t at = g * kAtOnce + part * kPack<T>, left = c.count - at;
            if (left <= 0) break;
            const int count = left < kPack<T> ? static_cast<int>(left) : kPack<T>;
            const bool whole = aligned && count == kPack<T>;
            Values<T> x = read_values(elements<T>(c.x) + at, count, whole);
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) x.v[i] = keep[part * kPack<T> + i] ? x.v[i] * scale : C(0);
            write_values(elements<T>(c.y) + at, x, count, whole);
        }
    }
};

// A dropped sample is not read.
template <class T> struct SamplePack {
    typedef gpu::compute_t<T> C;
    Drop c;
    bool aligned;

    DEMI_DEVICE void operator()(int64_t sample, int64_t column, int count) const {
        const C scale = static_cast<C>(c.scale);
        const int64_t at = sample * c.width + column;
        const uint32_t word = gpu::philox(c.seed, offset_of(c), static_cast<uint64_t>(sample));
        Values<T> x;
        if ((word >> 8) >= c.threshold) {
            x = read_values(elements<T>(c.x) + at, count, aligned);
            DEMI_UNROLL
            for (int k = 0; k < kPack<T>; ++k) x.v[k] *= scale;
        } else {
            DEMI_UNROLL
            for (int k = 0; k < kPack<T>; ++k) x.v[k] = 0;
        }
        write_values(elements<T>(c.y) + at, x, count, aligned);
    }
};

void drop(const Drop& c, Queue queue) {
    const bool lines = all_aligned(c.x.data, c.y.data);
    if (c.width != 1) return launch_packs<SamplePack>(c.x.dtype, c, lines, c.count / c.width, c.width, queue);
    gpu::dispatch_float(c.x.dtype, [&](auto tag) {
        typedef ElementGroup<gpu::tag_t<decltype(tag)>> Group;
        launch_each(Group{c, lines}, (c.count + Group::kAtOnce - 1) / Group::kAtOnce, queue);
    });
}

}  // namespace

const DropoutKernels dropout_kernels{drop};

}  // namespace demi::DEMI_BACKEND
