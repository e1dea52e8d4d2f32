// Attention forward on tensor cores: a block takes a tile of queries through the keys that it sees, the next
// keys on their way while these are multiplied.
#include <algorithm>

#include "ops/memory_efficient_attention/cuda/attention_store_cuda.h"

namespace demi::gpu_kernels {
namespace {

// What a lane knows of its two rows, g and g + 8 of its warp.
struct RowState {
    IntRange seen[2];  // keys
    float top[2], sum[2];
};

template <int kSize, bool kBf16> struct MmaForwardKernel {
    static constexpr int threads = 256;
    static constexpr int kKeys = keys_of_tile(kSize), kStride = kSize + 8;
    MmaForward m;

    // Shared memory: counters, a flag, queries, two stages of keys and of values.
    DEMI_DEVICE uint16_t* queries() const { return gpu::shared<uint16_t>() + kHeader; }
    DEMI_DEVICE uint16_t* keys(int rows, int stage) const {
        return queries() + (rows + stage * kKeys) * kStride;
    }
    DEMI_DEVICE uint16_t* values(int rows, int stage) const { return keys(rows, 2 + stage); }

    DEMI_DEVICE void operator()() const {
        const AttentionForward& call = m.call;
        const TilePlace at = place_of<false>(m, gpu::block_idx().x);
        const AttentionSegment& segment = *at.segment;
        const int capacity = m.queries.rows, row = gpu::warp() * 16;
        if (gpu::thread_idx().x == 0) *found() = 0;
        count_operands(m, at);
        if (at.rows == 0) return;
        load_tile<kSize, kBf16>(queries(), capacity, call.q,
                                row_offset(call.q, at.batch, at.head, segment.q_begin + at.first), at.rows,
                                call.head_size, m.eights.q);
        // Keys that any row of the block, or of the warp, sees.
        const IntRange first = int_range(keys_of_query(segment, at.first)),
                       last = int_range(keys_of_query(segment, at.first + at.rows - 1));
        const int begin = first.begin / kKeys * kKeys, end = last.end,
                  all = static_cast<int>(keys_in(segment));
        if (begin < end) load_keys(at, begin, 0);
        gpu::cp_async_commit();
        if (begin >= end) gpu::cp_async_wait<0>();

        RowState state;
        for (int half = 0; half < 2; ++half) {
            state.seen[half] = int_range(keys_of_query(segment, at.first + row + gpu::lane() / 4 + 8 * half));
            state.top[half] = -gpu::infinity();
            state.sum[half] = 0;
        }
        float acc[kSize / 8][4];
        set_zero(acc);
        LeftRows<kSize> left;
        int stage = 0;
        for (int tile = begin; tile < end; tile += kKeys, stage ^= 1) {
            if (tile + kKeys < end) {
                load_keys(at, tile + kKeys, stage ^ 1);
                gpu::cp_async_commit();
                gpu::cp_async_wait<1>();
            } else {
                gpu::cp_async_wait<0>();
            }
            gpu::sync_threads();
            if (tile == begin) left.load(queries(), row, call.head_size);
            const int here = smaller(kKeys, all - tile);
            // Some row of the block must not see some key: 0 * infinity must not reach it.
            if (last.begin > tile || first.end < tile + here) {
                take_out_not_finite<kSize, kBf16>(values(capacity, stage), here, call.value_size, found());
                gpu::sync_threads();
            }
            if (row < at.rows) step(at, tile, here, stage, left, state, acc);
            gpu::sync_threads();
        }
        gpu::sync_threads();
        finish(at, row, begin < end && *found() != 0, state, acc);
    }

    DEMI_DEVICE void load_keys(const TilePlace& at, int tile, int stage) const {
        load_keys_and_values<kSize, kBf16>(m, at, tile, keys(m.queries.rows, stage),
                                           values(m.queries.rows, stage));
    }

    // One tile of keys for the sixteen rows of this warp.
    DEMI_DEVICE void step(const TilePlace& at, int tile, int here, int stage, const LeftRows<kSize>& left,
                          RowState& state, float (&acc)[kSize / 8][4]) const {
        const AttentionForward& call = m.call;
        const int capacity = m.queries.rows, whole = round_up_16(here);
        float s[kKeys / 8][4];
        multiply_transposed<kSize, kKeys, kBf16>(s, left, keys(capacity, stage), whole,
                                                 static_cast<int>(call.head_size));
        const float scale = call.scale * static_cast<float>(kLog2E);
        DEMI_UNROLL
        for (int half = 0; half < 2; ++half) {
            const int64_t query = segment_row(at, half);
            const IntRange seen{state.seen[half].begin - tile, state.seen[half].end - tile};
            const bool biased = call.bias.data != nullptr && query < queries_in(*at.segment);
            const int64_t bias =
                biased ? bias_offset(m.call, at.batch, at.head, at.segment->q_begin + query) : 0;
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
            const float base = is_minus_infinity(top) ? 0.f : top;  // a row of -infinity: weights 0, not NaN
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
                    const int64_t index = query_index(m.call, at.batch, at.head, at.segment->q_begin + query);
                    const int64_t key = at.segment->k_begin + tile + 8 * n + 2 * (gpu::lane() % 4);
                    const KeptPair kept =
                        kept_pair(call.dropout, static_cast<uint64_t>(index * call.keys + key));
                    if (!kept.first) s[n][2 * half] = 0;
                    if (!kept.second) s[n][2 * half + 1] = 0;
                }
            }
            state.sum[half] = state.sum[half] * decay + sum;
            DEMI_UNROLL
            for (int n = 0; n < kSize / 8; ++n) {
                acc[n][2 * half] *= decay;
                acc[n][2 * half + 1] *= decay;
            }
        }
        multiply_add_rows<kSize, kKeys, kBf16>(acc, s, values(capacity, stage), whole,
                                               static_cast<int>(call.value_size));
    }

    DEMI_DEVICE int64_t segment_row(const TilePlace& at, int half) const {
        return at.first + gpu::warp() * 16 + gpu::lane() / 4 + 8 * half;
    }

    DEMI_DEVICE void finish(const TilePlace& at, int row, bool put_back, const RowState& state,
                            const float (&acc)[kSize / 8][4]) const {
        const AttentionForward& call = m.call;
        float factor[2];
        uint32_t without[2];
        for (int half = 0; half < 2; ++half) {
            const float sum = row_sum(state.sum[half]);
            const float kept = has_dropout(m.call) ? kept_factor(m.call) : 1.f;
            factor[half] = sum == 0 ? 0.f : sum == sum ? kept / sum : 1.f;
            const int64_t query = segment_row(at, half);
            without[half] = gpu::ballot(!(sum > 0) && query < at.first + at.rows);
            if (gpu::lane() % 4 != 0 || query >= at.first + at.rows) continue;
            static_cast<float*>(
                call.lse.data)[query_index(m.call, at.batch, at.head, at.segment->q_begin + query)] =
                sum == 0 ? -gpu::infinity()
                         : static_cast<float>(static_cast<double>(state.top[half]) * kLn2 +
                                              gpu::log(static_cast<double>(sum)));
        }
        LaneCount lost;
        const int rows = smaller(16, at.rows - row);
        if (rows > 0) {
            const AttentionResult& out = m.call.out;
            const int64_t token = at.segment->q_begin + at.first + row;
            const RowsOut<kSize> leaving(queries());
            leaving.take(acc, factor[0], factor[1]);
            if (put_back)
                leaving.add_not_finite(
                    call.v, row_offset(call.v, at.batch, at.head, at.segment->k_begin), call.value_size, rows,
                    1, [&](int r) { return seen_by_row(m.call, at, row + r); }, [](int) { return false; });
            if ((without[0] | without[1]) != 0 || any_not_finite(acc, factor[0], factor[1]))
                exact_results(call, {at, row, rows, kStride, leaving.stage}, without[0], without[1]);
            leaving.store(out, row_offset(out, at.batch, at.head, token), rows, call.value_size, m.eights.out,
                          lost);
        }
        if (m.call.out.lost != nullptr) add_counts(lost, gpu::shared<uint32_t>(), m.call.out.lost);
    }
};

size_t shared(int64_t size, int rows) {
    const int64_t padded = padded_size(size), keys = keys_of_tile(padded);
    return kCountScratch + 16 +
           static_cast<size_t>(std::max<int64_t>(rows + 4 * keys, 2 * rows) * (padded + 8)) * 2;
}

void launch(const MmaForward& m, Queue queue) {
    launch_padded<MmaForwardKernel>(m, m.queries, shared, queue);
}

}  // namespace

const MmaKernel<AttentionForward> mma_forward{shared, launch};

}  // namespace demi::gpu_kernels
