#include "ops/dropout/dropout_cuda.h"

#include "ops/kernel_cuda.h"

namespace demi::gpu_kernels {
namespace {

DEMI_DEVICE uint64_t offset_of(const DropCall& p) { return p.live != nullptr ? *p.live : p.offset; }

// A thread takes whole Philox blocks of four elements.
template <class T> struct ElementsKernel {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = 256, kAtOnce = kPack<T> < 4 ? 4 : kPack<T>;
    DropCall p;
    bool aligned;

    DEMI_DEVICE void operator()() const {
        const C scale = static_cast<C>(p.scale);
        const uint64_t offset = offset_of(p);
        const int64_t groups = (p.count + kAtOnce - 1) / kAtOnce;
        for (int64_t g = gpu::global_index(); g < groups; g += gpu::global_size()) {
            bool keep[kAtOnce];
            DEMI_UNROLL
            for (int b = 0; b < kAtOnce / 4; ++b) {
                const gpu::Words4 words =
                    gpu::philox_block(p.seed, offset + static_cast<uint64_t>(g * (kAtOnce / 4) + b));
                DEMI_UNROLL
                for (int i = 0; i < 4; ++i) keep[4 * b + i] = (words.w[i] >> 8) >= p.threshold;
            }
            DEMI_UNROLL
            for (int part = 0; part < kAtOnce / kPack<T>; ++part) {
                const int64_t at = g * kAtOnce + part * kPack<T>, left = p.count - at;
                if (left <= 0) break;
                const int count = left < kPack<T> ? static_cast<int>(left) : kPack<T>;
                const bool whole = aligned && count == kPack<T>;
                Values<T> x = read_values(static_cast<const T*>(p.x) + at, count, whole);
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i) x.v[i] = keep[part * kPack<T> + i] ? x.v[i] * scale : C(0);
                write_values(static_cast<T*>(p.y) + at, x, count, whole);
            }
        }
    }
};

// A dropped sample is not read.
template <class T> struct SamplesKernel {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = 256;
    DropCall p;
    bool aligned;

    DEMI_DEVICE void operator()() const {
        const C scale = static_cast<C>(p.scale);
        const uint64_t offset = offset_of(p);
        const int64_t packs = (p.width + kPack<T> - 1) / kPack<T>, samples = p.count / p.width;
        for (int64_t i = gpu::global_index(); i < samples * packs; i += gpu::global_size()) {
            const int64_t sample = i / packs, column = (i - sample * packs) * kPack<T>;
            const int64_t at = sample * p.width + column, left = p.width - column;
            const int count = left < kPack<T> ? static_cast<int>(left) : kPack<T>;
            const uint32_t word = gpu::philox(p.seed, offset, static_cast<uint64_t>(sample));
            Values<T> x;
            if ((word >> 8) >= p.threshold) {
                x = read_values(static_cast<const T*>(p.x) + at, count, aligned);
                DEMI_UNROLL
                for (int k = 0; k < kPack<T>; ++k) x.v[k] *= scale;
            } else {
                DEMI_UNROLL
                for (int k = 0; k < kPack<T>; ++k) x.v[k] = 0;
            }
            write_values(static_cast<T*>(p.y) + at, x, count, aligned);
        }
    }
};

}  // namespace

void drop(DType type, const DropCall& call, gpu::Stream stream) {
    gpu::dispatch_float(type, [&](auto tag) {
        typedef gpu::tag_t<decltype(tag)> T;
        const bool aligned = all_aligned(call.x, call.y);
        const int64_t packs = (call.width + kPack<T> - 1) / kPack<T>;
        if (call.width == 1)
            gpu::launch(ElementsKernel<T>{call, aligned},
                        gpu::blocks_for((call.count + kPack<T> - 1) / kPack<T>, 256), {256}, 0, stream);
        else
            gpu::launch(SamplesKernel<T>{call, aligned && call.width % kPack<T> == 0},
                        gpu::blocks_for(call.count / call.width * packs, 256), {256}, 0, stream);
    });
}

}  // namespace demi::gpu_kernels
