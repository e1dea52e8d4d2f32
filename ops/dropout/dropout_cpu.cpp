#include "ops/dropout/dropout_kernels.h"

#include "ops/kernel_cpu.h"
#include "runtime/cuda/gpu_bits.h"
#include "runtime/strided.h"

namespace demi::DEMI_BACKEND {
namespace {

// One counter word in each 64-bit lane, in its lower half; the upper half is never looked at.
typedef uint64_t Words __attribute__((vector_size(sizeof(vf))));
constexpr int kPerGroup = static_cast<int>(sizeof(vf) / 8), kGroups = 4;
constexpr int kBlocks = kGroups * kPerGroup;  // Philox blocks that run side by side
constexpr int kWords = 4 * kBlocks;

// The full product of the lower halves.
DEMI_INLINE Words multiply(Words a, Words b) {
#if defined(__AVX512F__)
    return reinterpret_cast<Words>(
        _mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
    return reinterpret_cast<Words>(
        _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#else
    return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

// a0 b0 a1 b1 ...
DEMI_INLINE void interleave(Words a, Words b, Words* out) {
    for (int l = 0; l < kPerGroup; ++l) {
        const int at = 2 * l;
        out[at / kPerGroup][at % kPerGroup] = a[l];
        out[(at + 1) / kPerGroup][(at + 1) % kPerGroup] = b[l];
    }
}

// Philox-4x32-10 on blocks block .. block + kBlocks - 1: words in stream order.
DEMI_INLINE void philox(uint64_t seed, uint64_t block, uint32_t* words) {
    Words c0[kGroups], c1[kGroups], c2[kGroups], c3[kGroups];
    const Words zeros = {};
    Words ids = {};
    for (int l = 0; l < kPerGroup; ++l) ids[l] = static_cast<uint64_t>(l);
    const Words m0 = zeros + 0xD2511F53u, m1 = zeros + 0xCD9E8D57u;
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
        c0[g] = ids + (block + static_cast<uint64_t>(g * kPerGroup));
        c1[g] = c0[g] >> 32;
        c2[g] = c3[g] = zeros;
    }
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const Words key0 = zeros + k0, key1 = zeros + k1;
#pragma GCC unroll 4
        for (int g = 0; g < kGroups; ++g) {
            const Words a = multiply(m0, c0[g]), b = multiply(m1, c2[g]);
            c0[g] = (b >> 32) ^ c1[g] ^ key0;
            c1[g] = b;
            c2[g] = (a >> 32) ^ c3[g] ^ key1;
            c3[g] = a;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
        Words out[2] = {};
        interleave((c0[g] & 0xffffffffu) | c1[g] << 32, (c2[g] & 0xffffffffu) | c3[g] << 32, out);
        __builtin_memcpy(words + 4 * g * kPerGroup, out, sizeof out);
    }
}

// Elements that start at the first word of block `block`.
template <class T>
void drop_elements(const T* x, T* y, int64_t count, uint64_t seed, uint64_t block, uint32_t threshold,
                   double scale) {
    typedef lane_t<T> C;
    alignas(64) uint32_t words[kWords];
    alignas(64) C factor[kWords];
    for (int64_t at = 0; at < count; at += kWords, block += kBlocks) {
        philox(seed, block, words);
        for (int i = 0; i < kWords; ++i)
            factor[i] = (words[i] >> 8) >= threshold ? static_cast<C>(scale) : C(0);
        const int64_t some = count - at < kWords ? count - at : kWords;
        for_lanes<T>(some, [&] DEMI_LANES {
            const auto f = loadu(factor + i), none = splat<T>(0);
            put(y + at + i, select(less(none, f), get(x + at + i, n) * f, none), n);
        });
    }
}

// A dropped sample is not read.
template <class T> void drop_sample(const T* x, T* y, int64_t count, bool kept, double scale) {
    const auto factor = splat<T>(static_cast<lane_t<T>>(scale));
    if (kept)
        for_lanes<T>(count, [&] DEMI_LANES { put(y + i, get(x + i, n) * factor, n); });
    else
        __builtin_memset(y, 0, static_cast<size_t>(count) * sizeof(T));
}

template <class T> void drop_samples(const Drop& c) {
    const RowPieces tiles(c.count / c.width, c.width, 32768);
    tiles.for_each([&](int64_t, int64_t s, int64_t end, int64_t begin, int64_t n) {
        for (; s < end; ++s) {
            const bool kept = (gpu::philox(c.seed, c.offset, static_cast<uint64_t>(s)) >> 8) >= c.threshold;
            drop_sample(row<T>(c.x, s, c.width) + begin, row<T>(c.y, s, c.width) + begin, n, kept, c.scale);
        }
    });
}

void drop(const Drop& c, Queue) {
    dispatch_float(c.x.dtype, [&]<class T>() {
        if (c.width > 1) return drop_samples<T>(c);
        constexpr int64_t kGrain = 16384;  // a whole number of Philox blocks
        parallel_ranges(c.count, kGrain, [&](int64_t begin, int64_t end) {
            drop_elements(elements<T>(c.x) + begin, elements<T>(c.y) + begin, end - begin, c.seed,
                          c.offset + static_cast<uint64_t>(begin / 4), c.threshold, c.scale);
        });
    });
}

}  // namespace

const DropoutKernels dropout_kernels{drop};

}  // namespace demi::DEMI_BACKEND
