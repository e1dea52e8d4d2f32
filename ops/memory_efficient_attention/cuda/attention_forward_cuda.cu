// Attention forward on tensor cores: a block takes a tile of queries through the keys that it sees, the next
// keys on their way while these are multiplied.
#include <algorithm>

#include "ops/memory_efficient_attention/cuda/attention_store_cuda.h"

namespace demi::gpu_kernels {
namespace {

// What a lane knows of its two rows, g and g + 8 of its warp. top: the largest score, in powers of two where
// kMasked, else as it was multiplied; sum: its share of the sum of weights.
struct RowState {
    IntRange seen[2];  // keys; kMasked
    float top[2], sum[2];
};
// Weights are powers of two of scores minus this. A row of -infinity: weights 0, not NaN.
DEMI_DEVICE float base_of(float top, float scale = 1) { return is_minus_infinity(top) ? 0.f : top * scale; }

template <int kSize, bool kBf16, bool kMasked> struct ForwardKernel {
    static constexpr int threads = kThreads<kSize, kMasked>, blocks = kBlocks<kSize, kMasked>;
    static constexpr int kKeys = keys_of_tile(kSize), kStride = kSize + 8;
    MmaForward m;

    // Shared memory: the header, queries, two stages of keys and of values.
    DEMI_DEVICE uint16_t* queries() const { return gpu::shared<uint16_t>() + kHeader<kMasked>; }
    DEMI_DEVICE uint16_t* keys(int rows, int stage) const {
        return queries() + (rows + stage * kKeys) * kStride;
    }
    DEMI_DEVICE uint16_t* values(int rows, int stage) const { return keys(rows, 2 + stage); }

    DEMI_DEVICE void operator()() const {
        const AttentionForward& call = m.call;
        const TilePlace at = place_of<false>(m, gpu::block_idx().x);
        const AttentionSegment& segment = *at.segment;
        const int capacity = m.queries.rows, row = gpu::warp() * 16, all = static_cast<int>(keys_in(segment));
        if (kMasked && gpu::thread_idx().x == 0) *found() = 0;
        count_operands(m, at);
        if (at.rows == 0) return;
        typedef Walk<kSize, kBf16, kMasked> Rows;
        Rows(call.q, at, segment.q_begin + at.first, call.head_size, m.eights.q)
            .load(queries(), capacity, at.rows);
        // Keys that the first row of the block, and the last, sees.
        IntRange first{0, all}, last{0, all};
        if constexpr (kMasked) {
            first = int_range(keys_of_query(segment, at.first));
            last = int_range(keys_of_query(segment, at.first + at.rows - 1));
        }
        const int begin = first.begin / kKeys * kKeys, end = last.end;
        Rows key_rows(call.k, at, segment.k_begin + begin, call.head_size, m.eights.k);
        Rows value_rows(call.v, at, segment.k_begin + begin, call.value_size, m.eights.v);
        const auto load_keys = [&](int tile, int stage) {
            const int rows = smaller(kKeys, all - tile);
            key_rows.load(keys(m.queries.rows, stage), kKeys, rows);
            value_rows.load(values(m.queries.rows, stage), kKeys, rows);
        };
        if (begin < end) load_keys(begin, 0);
        gpu::cp_async_commit();

        RowState state;
        for (int half = 0; half < 2; ++half) {
            if constexpr (kMasked) state.seen[half] = int_range(keys_of_query(segment, query_of(at, half)));
            state.top[half] = -gpu::infinity();
            state.sum[half] = 0;
        }
        float acc[kSize / 8][4] = {};
        LeftRows<kSize> left;
        for_tiles<kKeys>(begin, end, load_keys, [&](int tile, int stage) {
            if (tile == begin) left.load(queries(), row, kMasked ? call.head_size : kSize);
            const int here = smaller(kKeys, all - tile);
            const uint16_t* k = keys(capacity, stage);
            uint16_t* v = values(capacity, stage);
            if constexpr (kMasked) {
                // Some row of the block must not see some key: 0 * infinity must not reach it.
                if (last.begin > tile || first.end < tile + here) {
                    take_out_not_finite<kSize, kBf16>(v, here, call.value_size, found());
                    gpu::sync_threads();
                }
                if (row < at.rows) masked_step(k, v, at, tile, here, left, state, acc);
            } else if (row >= at.rows) {
            } else if (here == kKeys) {
                step<kKeys, true>(k, v, here, left, state, acc);
            } else if (here > 16) {
                step<kKeys, false>(k, v, here, left, state, acc);
            } else {
                step<16, false>(k, v, here, left, state, acc);
            }
        });
        finish(at, row, state, acc);
    }

    // In the segment.
    DEMI_DEVICE int64_t query_of(const TilePlace& at, int half) const { return at.first + lane_row(half); }

    // `here` keys of a tile for the sixteen rows of this warp.
    DEMI_DEVICE void masked_step(const uint16_t* k, const uint16_t* v, const TilePlace& at, int tile,
                                 int here, const LeftRows<kSize>& left, RowState& state,
                                 float (&acc)[kSize / 8][4]) const {
        const AttentionForward& call = m.call;
        const int whole = round_up_16(here);
        float s[kKeys / 8][4] = {};
        add_transposed<kSize, kKeys, kBf16>(s, left, k, whole, static_cast<int>(call.head_size));
        const float scale = call.scale * static_cast<float>(kLog2E);
        DEMI_UNROLL
        for (int half = 0; half < 2; ++half) {
            const int64_t query = query_of(at, half);
            const IntRange seen{state.seen[half].begin - tile, state.seen[half].end - tile};
            const bool biased = call.bias.data != nullptr && query < queries_in(*at.segment);
            const int64_t bias = biased ? row_offset(m.call.bias, at, at.segment->q_begin + query) : 0;
            float top = -gpu::infinity();
            DEMI_UNROLL
            for (int n = 0; n < kKeys / 8; ++n) {
                if (8 * n >= whole) break;
                DEMI_UNROLL
                for (int e = 0; e < 2; ++e) {
                    const int column = 8 * n + 2 * (gpu::lane() % 4) + e;
                    float& x = s[n][2 * half + e];
                    x *= scale;
                    const bool sees = column >= seen.begin && column < seen.end;
                    if (biased && sees) x += bias_score(m.call, bias, at.segment->k_begin + tile + column);
                    x = sees ? x : -gpu::infinity();
                    top = x > top ? x : top;  // NaN never is
                }
            }
            top = row_max(top);
            top = state.top[half] > top ? state.top[half] : top;
            const float base = base_of(top);
            const float decay = gpu::exp2(state.top[half] - base);
            state.top[half] = top;
            float sum = 0;
            DEMI_UNROLL
            for (int n = 0; n < kKeys / 8; ++n) {
                if (8 * n >= whole) break;
                DEMI_UNROLL
                for (int e = 0; e < 2; ++e) {
                    float& x = s[n][2 * half + e];
                    x = gpu::exp2(x - base);
                    sum += x;
                }
                if (has_dropout(m.call)) {
                    const int64_t index = query_index(m.call, at, at.segment->q_begin + query);
                    const int64_t key = at.segment->k_begin + tile + 8 * n + 2 * (gpu::lane() % 4);
                    const KeptPair kept =
                        kept_pair(call.dropout, static_cast<uint64_t>(index * call.keys + key));
                    if (!kept.first) s[n][2 * half] = 0;
                    if (!kept.second) s[n][2 * half + 1] = 0;
                }
            }
            state.sum[half] = state.sum[half] * decay + sum;
            scale_half(acc, half, decay);
        }
        multiply_add_rows<kSize, kKeys, kBf16>(acc, s, v, whole, static_cast<int>(call.value_size));
    }

    // `here` of kCount keys.
    template <int kCount, bool kWhole>
    DEMI_DEVICE void step(const uint16_t* k, const uint16_t* v, int here, const LeftRows<kSize>& left,
                          RowState& state, float (&acc)[kSize / 8][4]) const {
        float s[kCount / 8][4] = {};
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
            scale_half(acc, half, decay);
        }
        multiply_add_rows<kSize, kCount, kBf16>(acc, s, v, kCount, kSize);
    }

    DEMI_DEVICE void finish(const TilePlace& at, int row, const RowState& state,
                            float (&acc)[kSize / 8][4]) const {
        const AttentionForward& call = m.call;
        float factor[2];
        uint32_t without[2];
        for (int half = 0; half < 2; ++half) {
            const int64_t query = query_of(at, half);
            const float sum = row_sum(state.sum[half]);
            const float kept = kMasked && has_dropout(m.call) ? kept_factor(m.call) : 1.f;
            factor[half] = sum == 0 ? 0.f : sum == sum ? kept / sum : 1.f;
            without[half] = gpu::ballot(!(sum > 0) && query < at.first + at.rows);
            if (gpu::lane() % 4 != 0 || query >= at.first + at.rows) continue;
            float lse = -gpu::infinity();
            if (sum != 0) {
                if constexpr (kMasked)
                    lse = static_cast<float>(static_cast<double>(state.top[half]) * kLn2 +
                                             gpu::log(static_cast<double>(sum)));
                else
                    lse = gpu::fma(base_of(state.top[half], call.scale * static_cast<float>(kLog2E)),
                                   static_cast<float>(kLn2), gpu::log(sum));
            }
            static_cast<float*>(call.lse.data)[query_index(m.call, at, at.segment->q_begin + query)] = lse;
        }
        store_sums<kSize, kMasked>(
            queries(), m.call.out, at, row, at.segment->q_begin + at.first, call.value_size, m.eights.out,
            acc, factor[0], factor[1], (without[0] | without[1]) != 0,
            [&](const RowsOut<kSize>& leaving) {
                leaving.add_not_finite(
                    call.v, row_offset(call.v, at, at.segment->k_begin), call.value_size, 1,
                    [&](int r) { return seen_by_row(m.call, at, row + r); }, [](int) { return false; });
            },
            [&](const StagedRows& rows) { exact_results(call, rows, without[0], without[1]); });
    }
};

template <bool kMasked> size_t shared(int64_t size, int rows) {
    const int64_t keys = keys_of_tile(padded_size(size));
    return shared_bytes<kMasked>(size, rows, std::max<int64_t>(rows + 4 * keys, 2 * rows));
}

}  // namespace

const MmaKernel<AttentionForward> mma_forward{shared<true>,
                                              launch_queries<ForwardKernel, true, shared<true>>};
const MmaKernel<AttentionForward> unmasked_forward{shared<false>,
                                                   launch_queries<ForwardKernel, false, shared<false>>};

}  // namespace demi::gpu_kernels
