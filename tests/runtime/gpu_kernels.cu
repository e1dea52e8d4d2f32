#include "tests/runtime/gpu_kernels.h"

#include "runtime/cuda/gpu.h"

namespace demi::test_kernels {
namespace {

DEMI_DEVICE uint32_t pair(uint16_t low, uint16_t high) {
    return static_cast<uint32_t>(low) | static_cast<uint32_t>(high) << 16;
}

DEMI_DEVICE void add_tile(float* d, const float (&own)[4]) {
    const int g = gpu::lane() / 4, t = gpu::lane() % 4;
    d[8 * g + 2 * t] += own[0];
    d[8 * g + 2 * t + 1] += own[1];
    d[8 * (g + 8) + 2 * t] += own[2];
    d[8 * (g + 8) + 2 * t + 1] += own[3];
}

struct MmaKernel {
    static constexpr int threads = 32;
    bool is_bf16, wrong_layout;
    const uint16_t *a, *b;
    float* d;
    DEMI_DEVICE void operator()() const {
        const int g = gpu::lane() / 4, t = gpu::lane() % 4;
        const auto at = [&](int row, int column) {
            return pair(a[16 * row + column], a[16 * row + column + 1]);
        };
        const auto bt = [&](int row, int column) {
            return pair(b[8 * row + column], b[8 * (row + 1) + column]);
        };
        const uint32_t af[4] = {at(g, 2 * t), at(g + 8, 2 * t), at(g, 2 * t + 8), at(g + 8, 2 * t + 8)};
        const uint32_t bf[2] = {bt(2 * t, g), bt(2 * t + 8, g)};
        const uint32_t swapped[4] = {af[0], af[2], af[1], af[3]};
        float own[4] = {0, 0, 0, 0};
        if (wrong_layout)
            gpu::mma_m16n8k16_f16(own, swapped, bf);
        else if (is_bf16)
            gpu::mma_m16n8k16_bf16(own, af, bf);
        else
            gpu::mma_m16n8k16_f16(own, af, bf);
        add_tile(d, own);
    }
};

// Shared memory: a [16][16], then b.
struct LdmatrixKernel {
    static constexpr int threads = 32;
    const uint16_t *a, *b;
    bool b_is_transposed;
    float* d;
    DEMI_DEVICE void operator()() const {
        uint16_t* sa = gpu::shared<uint16_t>();
        uint16_t* sb = sa + 256;
        const int lane = gpu::lane();
        gpu::store16(sa + 8 * lane, gpu::load16(a + 8 * lane));
        if (lane < 16) gpu::store16(sb + 8 * lane, gpu::load16(b + 8 * lane));
        gpu::sync_warp();
        uint32_t af[4], bf[2];
        gpu::ldmatrix_x4(af, sa + 16 * (lane % 16) + 8 * (lane / 16));
        const int i = lane % 16;
        if (b_is_transposed)
            gpu::ldmatrix_x2(bf, sb + 16 * (i % 8) + 8 * (i / 8));
        else
            gpu::ldmatrix_x2_trans(bf, sb + 8 * i);
        float own[4] = {0, 0, 0, 0};
        gpu::mma_m16n8k16_f16(own, af, bf);
        add_tile(d, own);
    }
};

struct ShuffleKernel {
    static constexpr int threads = 32;
    const float* x;
    double* out;
    DEMI_DEVICE void operator()() const {
        const int i = gpu::lane();
        const float v = x[i];
        out[i] = static_cast<double>(gpu::shfl(v, (i + 5) % 32));
        out[32 + i] = gpu::shfl_xor(static_cast<double>(v), 9);
        out[64 + i] = static_cast<double>(gpu::shfl_down(static_cast<int64_t>(i), 3));
        out[96 + i] = static_cast<double>(gpu::ballot(v > 0));
        out[128 + i] = static_cast<double>(gpu::warp_sum(v));
    }
};

struct BlockSumKernel {
    static constexpr int threads = 128;
    const float* x;
    int64_t n;
    float* out;
    DEMI_DEVICE void operator()() const {
        float sum = 0;
        for (int64_t i = gpu::thread_idx().x; i < n; i += 128) sum += x[i];
        sum = gpu::block_sum(sum, gpu::shared<float>());
        if (gpu::thread_idx().x == 0) out[gpu::block_idx().x] = sum;
    }
};

struct ReverseKernel {
    const float* x;
    float* out;
    unsigned n;
    bool skip_barrier;
    DEMI_DEVICE void operator()() const {
        float* s = gpu::shared<float>();
        const unsigned i = gpu::thread_idx().x;
        if (i < n) s[i] = x[i];
        if (!skip_barrier) gpu::sync_threads();
        if (i < n) out[i] = s[n - 1 - i];
    }
};

struct CopyAsyncKernel {
    const uint32_t* x;
    uint32_t* out;
    unsigned n;
    bool skip_wait;
    DEMI_DEVICE void operator()() const {
        uint32_t* s = gpu::shared<uint32_t>();
        const unsigned i = gpu::thread_idx().x;
        gpu::cp_async16(s + 4 * i, x + 4 * i, i < n / 2);
        gpu::cp_async_commit();
        if (!skip_wait) gpu::cp_async_wait<0>();
        gpu::sync_threads();
        for (int k = 0; k < 4; ++k) out[4 * i + k] = s[4 * (n - 1 - i) + k];
    }
};

struct CopySomeKernel {
    const float* x;
    float* y;
    int64_t n;
    DEMI_DEVICE void operator()() const {
        for (int64_t i = gpu::global_index(); i < n; i += gpu::global_size()) y[i] = x[i];
    }
};

struct TouchSharedKernel {
    uint32_t* out;
    unsigned n, extra;
    DEMI_DEVICE void operator()() const {
        uint32_t* s = gpu::shared<uint32_t>();
        const unsigned i = gpu::thread_idx().x;
        s[i + extra] = i;
        out[i] = s[i + extra];
    }
};

struct MisuseKernel {
    int kind;
    float* x;
    DEMI_DEVICE void operator()() const {
        const int i = gpu::lane();
        if (kind == 0 && i < 3) return;
        if (kind == 0) gpu::sync_threads();
        if (kind == 1 && i < 3) return;
        if (kind == 1) x[i] = gpu::shfl(x[i], 4);
        if (kind == 2 && i < 3) gpu::sync_warp();
        if (kind == 2 && i >= 3) x[i] = gpu::shfl(x[i], 4);
        if (kind == 3) gpu::store16(x + 4, gpu::load16(x + 1));
        if (kind == 4) {
            uint32_t r[4];
            gpu::ldmatrix_x4(r, x);
            x[i] = gpu::bit_cast<float>(r[0]);
        }
    }
};

struct ConversionKernel {
    const float* x;
    uint16_t* out;
    float* back;
    int64_t n;
    DEMI_DEVICE void operator()() const {
        for (int64_t i = gpu::global_index(); i < n; i += gpu::global_size()) {
            out[2 * i] = gpu::float_to_half(x[i]);
            out[2 * i + 1] = gpu::float_to_bf16(x[i]);
            back[2 * i] = gpu::half_to_float(static_cast<uint16_t>(i));
            back[2 * i + 1] = gpu::bf16_to_float(static_cast<uint16_t>(i));
        }
    }
};

struct WordsKernel {
    uint64_t seed, offset;
    uint32_t* out;
    int64_t n;
    DEMI_DEVICE void operator()() const {
        for (int64_t i = gpu::global_index(); i < n; i += gpu::global_size())
            out[i] = gpu::philox(seed, offset, static_cast<uint64_t>(i));
    }
};

struct AtomicKernel {
    uint64_t* sum;
    uint32_t* largest;
    uint32_t n;
    DEMI_DEVICE void operator()() const {
        const auto i = static_cast<uint32_t>(gpu::global_index());
        if (i >= n) return;
        gpu::atomic_add(sum, static_cast<uint64_t>(i));
        gpu::atomic_max_u32(largest, i);
    }
};

}  // namespace

void mma(bool is_bf16, bool wrong_layout, const uint16_t* a, const uint16_t* b, float* d,
         gpu::Stream stream) {
    gpu::launch(MmaKernel{is_bf16, wrong_layout, a, b, d}, {1}, {32}, 0, stream);
}
void mma_ldmatrix(const uint16_t* a, const uint16_t* b, bool b_is_transposed, float* d, gpu::Stream stream) {
    gpu::launch(LdmatrixKernel{a, b, b_is_transposed, d}, {1}, {32}, 768, stream);
}
void shuffles(const float* x, double* out, gpu::Stream stream) {
    gpu::launch(ShuffleKernel{x, out}, {1}, {32}, 0, stream);
}
void block_sums(const float* x, int64_t n, float* out, unsigned grid, gpu::Stream stream) {
    gpu::launch(BlockSumKernel{x, n, out}, {grid}, {128}, 128, stream);
}
void reverse(const float* x, float* out, unsigned n, bool skip_barrier, gpu::Stream stream) {
    gpu::launch(ReverseKernel{x, out, n, skip_barrier}, {1}, {(n + 31) / 32 * 32}, 4 * n, stream);
}
void copy_async(const uint32_t* x, uint32_t* out, unsigned n, bool skip_wait, gpu::Stream stream) {
    gpu::launch(CopyAsyncKernel{x, out, n, skip_wait}, {1}, {n}, 16 * n, stream);
}
void copy_some(const float* x, float* y, int64_t n, int64_t extra, int64_t missing, gpu::Stream stream) {
    gpu::launch(CopySomeKernel{x, y, n + extra - missing}, gpu::blocks_for(n, 64), {64}, 0, stream);
}
void touch_shared(uint32_t* out, unsigned n, unsigned extra, gpu::Stream stream) {
    gpu::launch(TouchSharedKernel{out, n, extra}, {1}, {n}, 4 * n, stream);
}
void misuse(int kind, float* x, gpu::Stream stream) {
    gpu::launch(MisuseKernel{kind, x}, {1}, {64}, 256, stream);
}
void conversions(const float* x, uint16_t* out, float* back, int64_t n, gpu::Stream stream) {
    gpu::launch(ConversionKernel{x, out, back, n}, gpu::blocks_for(n, 256), {256}, 0, stream);
}
void words(uint64_t seed, uint64_t offset, uint32_t* out, int64_t n, gpu::Stream stream) {
    gpu::launch(WordsKernel{seed, offset, out, n}, gpu::blocks_for(n, 256), {256}, 0, stream);
}
void atomics(uint64_t* sum, uint32_t* largest, uint32_t n, gpu::Stream stream) {
    gpu::launch(AtomicKernel{sum, largest, n}, gpu::blocks_for(n, 64), {64}, 0, stream);
}

}  // namespace demi::test_kernels
