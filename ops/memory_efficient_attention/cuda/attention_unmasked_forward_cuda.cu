// Attention forward as attention_forward_cuda.cu, for what attention_unmasked_cuda.h is about.
#include <algorithm>

#include "ops/memory_efficient_attention/cuda/attention_unmasked_cuda.h"

namespace demi::gpu_kernels {
namespace {

template <int kSize> constexpr int kKeyTile = kSize <= 64 ? 64 : 32;

// What a lane knows of its two rows, g and g + 8 of its warp: the largest score, as it was multiplied, and
// its share of the sum of weights.
struct RowState {
    float top[2], sum[2];
};
// Weights are powers of two of scores minus this. A row of -infinity: weights 0, not NaN.
DEMI_DEVICE float base_of(float top, float scale) { return is_minus_infinity(top) ? 0.f : top * scale; }

template <int kSize, bool kBf16> struct UnmaskedForwardKernel {
    static constexpr int threads = 2 * kMostRows<kSize>, blocks = kBlocks<kSize>;
    static constexpr int kKeys = kKeyTile<kSize>, kStride = kSize + 8;
    MmaForward m;

    // Shared memory: counters, queries, two stages of keys and of values.
    DEMI_DEVICE uint16_t* queries() const { return gpu::shared<uint16_t>() + kCountScratch / 2; }
    DEMI_DEVICE uint16_t* keys(int rows, int stage) const {
        return queries() + (rows + stage * kKeys) * kStride;
    }
    DEMI_DEVICE uint16_t* values(int rows, int stage) const { return keys(rows, 2 + stage); }

    DEMI_DEVICE void operator()() const {
        const AttentionForward& call = m.call;
        const TilePlace at = place_of<false>(m, gpu::block_idx().x);
        const AttentionSegment& segment = *at.segment;
        const int capacity = m.queries.rows, row = gpu::warp() * 16, all = static_cast<int>(keys_in(segment));
        count_operands(m, at);
        if (at.rows == 0) return;
        const int64_t query = row_offset(call.q, at.batch, at.head, segment.q_begin + at.first);
        load_rows<kSize, kBf16>(queries(), capacity, call.q, first_unit<kSize>(call.q, query), at.rows);
        int64_t key_unit = first_unit<kSize>(call.k, row_offset(call.k, at.batch, at.head, segment.k_begin)),
                value_unit =
                    first_unit<kSize>(call.v, row_offset(call.v, at.batch, at.head, segment.k_begin));
        if (all > 0) load_keys(0, key_unit, value_unit, all);
        gpu::cp_async_commit();

        RowState state;
        for (int half = 0; half < 2; ++half) {
            state.top[half] = -gpu::infinity();
            state.sum[half] = 0;
        }
        float acc[kSize / 8][4];
        set_zero(acc);
        LeftRows<kSize> left;
        int stage = 0;
        for (int tile = 0; tile < all; tile += kKeys, stage ^= 1) {
            gpu::cp_async_wait<0>();
            gpu::sync_threads();  // the tile is there, and the one before it is done with
            if (tile + kKeys < all) load_keys(stage ^ 1, key_unit, value_unit, all - tile - kKeys);
            gpu::cp_async_commit();
            if (tile == 0) left.load(queries(), row, kSize);
            const int here = smaller(kKeys, all - tile);
            const uint16_t *k = keys(capacity, stage), *v = values(capacity, stage);
            if (row >= at.rows) {
            } else if (here == kKeys) {
                step<kKeys, true>(k, v, here, left, state, acc);
            } else if (here > 16) {
                step<kKeys, false>(k, v, here, left, state, acc);
            } else {
                step<16, false>(k, v, here, left, state, acc);
            }
        }
        gpu::cp_async_wait<0>();
        gpu::sync_threads();
        finish(at, row, state, acc);
    }

    // The next tile, of `rest` keys at most.
    DEMI_DEVICE void load_keys(int stage, int64_t& key_unit, int64_t& value_unit, int rest) const {
        load_next<kSize, kBf16, kKeys>(keys(m.queries.rows, stage), m.call.k, key_unit,
                                       values(m.queries.rows, stage), m.call.v, value_unit, rest);
    }

    // `here` of kCount keys for the sixteen rows of this warp.
    template <int kCount, bool kWhole>
    DEMI_DEVICE void step(const uint16_t* k, const uint16_t* v, int here, const LeftRows<kSize>& left,
                          RowState& state, float (&acc)[kSize / 8][4]) const {
        float s[kCount / 8][4];
        scores<kSize, kCount, kBf16, kWhole>(s, left, k, here);
        const float scale = m.call.scale * static_cast<float>(kLog2E);
        DEMI_UNROLL
        for (int half = 0; half < 2; ++half) {
            float top = -gpu::infinity();
            DEMI_UNROLL
            for (int n = 0; n < kCount / 8; ++n)
                top = gpu::max_number(top, gpu::max_number(s[n][2 * half], s[n][2 * half + 1]));
            top = gpu::max_number(top, gpu::shfl_xor(top, 1));
            top = gpu::max_number(top, gpu::shfl_xor(top, 2));
            top = gpu::max_number(top, state.top[half]);
            const float base = base_of(top, scale);
            const float decay = gpu::exp2_approx(gpu::fma(state.top[half], scale, -base));
            state.top[half] = top;
            float sum[2] = {0, 0};
            DEMI_UNROLL
            for (int n = 0; n < kCount / 8; ++n) {
                DEMI_UNROLL
                for (int e = 0; e < 2; ++e) {
                    float& x = s[n][2 * half + e];
                    x = gpu::exp2_approx(gpu::fma(x, scale, -base));
                    sum[e] += x;
                }
            }
            state.sum[half] = gpu::fma(state.sum[half], decay, sum[0] + sum[1]);
            DEMI_UNROLL
            for (int n = 0; n < kSize / 8; ++n) {
                acc[n][2 * half] *= decay;
                acc[n][2 * half + 1] *= decay;
            }
        }
        multiply_add_rows<kSize, kCount, kBf16>(acc, s, v, kCount, kSize);
    }

    DEMI_DEVICE void finish(const TilePlace& at, int row, const RowState& state,
                            float (&acc)[kSize / 8][4]) const {
        const AttentionForward& call = m.call;
        const AttentionResult& out = m.call.out;
        float factor[2];
        uint32_t without[2];
        for (int half = 0; half < 2; ++half) {
            const int mine = row + gpu::lane() / 4 + 8 * half;
            const float sum = row_sum(state.sum[half]);
            factor[half] = sum == 0 ? 0.f : sum == sum ? 1 / sum : 1.f;
            without[half] = gpu::ballot(!(sum > 0) && mine < at.rows);
            if (gpu::lane() % 4 != 0 || mine >= at.rows) continue;
            static_cast<float*>(call.lse.data)[query_index(m.call, at.batch, at.head,
                                                           at.segment->q_begin + at.first + mine)] =
                sum == 0 ? -gpu::infinity()
                         : gpu::fma(base_of(state.top[half], call.scale * static_cast<float>(kLog2E)),
                                    static_cast<float>(kLn2), gpu::log(sum));
        }
        LaneCount lost;
        const int rows = smaller(16, at.rows - row);
        if (rows > 0) {
            const int64_t token = at.segment->q_begin + at.first + row;
            store_rows<kSize>(
                queries(), out, row_offset(out, at.batch, at.head, token), rows, m.eights.out, acc, factor[0],
                factor[1], lost, (without[0] | without[1]) != 0, [&](float* stage) {
                    exact_results(call, {at, row, rows, kStride, stage}, without[0], without[1]);
                });
        }
        if (m.call.out.lost != nullptr) add_counts(lost, gpu::shared<uint32_t>(), m.call.out.lost);
    }
};

size_t shared(int64_t size, int rows) {
    if (rows > (size <= 64 ? kMostRows<64> : kMostRows<128>)) return SIZE_MAX;
    const int keys = size <= 64 ? kKeyTile<64> : kKeyTile<128>;
    return kCountScratch + static_cast<size_t>(std::max(rows + 4 * keys, 2 * rows) * (size + 8)) * 2;
}

void launch(const MmaForward& m, Queue queue) {
    if (m.call.head_size == 64) return launch_tiles<UnmaskedForwardKernel, 64>(m, m.queries, shared, queue);
    launch_tiles<UnmaskedForwardKernel, 128>(m, m.queries, shared, queue);
}

}  // namespace

const MmaKernel<AttentionForward> unmasked_forward{shared, launch};

}  // namespace demi::gpu_kernels
