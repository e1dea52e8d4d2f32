// The keys' and values' gradients on tensor cores, one block for a tile of keys, which goes through the
// queries that see it in their order. Scores stand transposed here: a row is a key, a column a query.
#include "ops/memory_efficient_attention/cuda/attention_backward_cuda.h"

namespace demi::gpu_kernels {
namespace {

// kWhich: 0 both gradients, 1 the keys', 2 the values'. Registers do not hold both at the largest size.
template <int kSize, bool kBf16, bool kMasked, int kWhich> struct BackwardKvKernel {
    static constexpr int threads = kThreads<kSize, kMasked>, blocks = kBlocks<kSize, kMasked>;
    static constexpr int kQueries = queries_of_tile(kSize), kStride = kSize + 8;
    static constexpr bool kForKeys = kWhich != 2, kForValues = kWhich != 1;
    typedef Walk<kSize, kBf16, kMasked> Rows;
    MmaBackward m;

    // Shared memory: the header (without kMasked a flag meanwhile), keys, values, two stages of queries, of
    // gradients and of what is known of them.
    DEMI_DEVICE uint16_t* keys() const { return gpu::shared<uint16_t>() + kHeader<kMasked>; }
    DEMI_DEVICE uint16_t* values() const { return keys() + m.keys.rows * kStride; }
    DEMI_DEVICE uint16_t* queries(int stage) const {
        return keys() + (2 * m.keys.rows + stage * kQueries) * kStride;
    }
    DEMI_DEVICE uint16_t* grad_out(int stage) const { return queries(2 + stage); }
    DEMI_DEVICE float* shifts(int stage) const {
        return reinterpret_cast<float*>(queries(4)) + stage * kQueries;
    }
    DEMI_DEVICE float* dots(int stage) const { return shifts(2 + stage); }
    DEMI_DEVICE int* any_left_out() const { return gpu::shared<int>(); }

    DEMI_DEVICE void operator()() const {
        const AttentionBackward& call = m.call;
        const TilePlace at = place_of<true>(m, gpu::block_idx().x);
        const AttentionSegment& segment = *at.segment;
        if (at.rows == 0) return;
        const int capacity = m.keys.rows, row = gpu::warp() * 16, all = static_cast<int>(queries_in(segment));
        const int64_t token = segment.k_begin + at.first;
        if (gpu::thread_idx().x == 0) *(kMasked ? found() : any_left_out()) = 0;
        Rows(call.k, at, token, call.head_size, m.eights.k).load(keys(), capacity, at.rows);
        Rows(call.v, at, token, call.value_size, m.eights.v).load(values(), capacity, at.rows);
        // Queries that see the first key of the block, and the last; and those that see a lane's keys.
        IntRange first{0, all}, last{0, all}, seen[2];
        if constexpr (kMasked) {
            first = int_range(queries_of_key(segment, at.first));
            last = int_range(queries_of_key(segment, at.first + at.rows - 1));
            for (int half = 0; half < 2; ++half)
                seen[half] = int_range(queries_of_key(segment, at.first + lane_row(half)));
        }
        const int begin = first.begin / kQueries * kQueries, end = last.end;
        Next next{{call.q, at, segment.q_begin + begin, call.head_size, m.eights.q},
                  {call.grad_out, at, segment.q_begin + begin, call.value_size, m.eights.grad_out},
                  query_index(m.call, at, segment.q_begin + begin)};
        look_ahead(next, all - begin);
        const auto load = [&](int tile, int stage) { load_queries(stage, next, all - tile); };
        if (begin < end) load(begin, 0);
        gpu::cp_async_commit();

        float for_keys[kForKeys ? kSize / 8 : 1][4] = {}, for_values[kForValues ? kSize / 8 : 1][4] = {};
        LeftRows<kSize> left, left_values;
        WarpScale scale;
        bool left_out = false;
        for_tiles<kQueries>(begin, end, load, [&](int tile, int stage) {
            if (tile == begin) {
                left.load(keys(), row, kMasked ? call.head_size : kSize);
                left_values.load(values(), row, kMasked ? call.value_size : kSize);
            }
            const int here = smaller(kQueries, all - tile);
            if constexpr (kMasked) {
                const int whole = round_up_16(here);
                float weights[kQueries / 8][4] = {}, grads[kQueries / 8][4] = {};
                if (row < at.rows)
                    masked_step(at, tile, whole, stage, left, left_values, seen, weights, grads);
                // A query that saw nothing has an infinite shift, one that is left out that of -infinity.
                const float shift = shifts(stage)[gpu::lane() % kQueries];
                const bool blind = gpu::ballot(gpu::abs(shift) == gpu::infinity()) != 0;
                left_out |= blind && gpu::ballot(is_minus_infinity(shift)) != 0;
                if (blind || last.begin > tile || first.end < tile + here) {
                    gpu::sync_threads();  // the scores needed all as it is
                    take_out_not_finite<kSize, kBf16>(queries(stage), here, call.head_size, found());
                    take_out_not_finite<kSize, kBf16>(grad_out(stage), here, call.value_size, found());
                    gpu::sync_threads();
                }
                if (row >= at.rows) return;
                if constexpr (kForValues)
                    multiply_add_rows<kSize, kQueries, kBf16>(for_values, weights, grad_out(stage), whole,
                                                              static_cast<int>(call.value_size));
                if constexpr (kForKeys) {
                    fit<kBf16>(grads, scale, for_keys);
                    multiply_add_rows<kSize, kQueries, kBf16>(for_keys, grads, queries(stage), whole,
                                                              static_cast<int>(call.head_size));
                }
            } else {
                // A query that saw nothing, or is left out, must not pass on its NaN or infinity.
                if (gpu::ballot(shifts(stage)[gpu::lane()] == gpu::infinity()) != 0) {
                    *any_left_out() = 1;
                    clear_blind(stage);
                    gpu::sync_threads();
                }
                if (row + 16 <= at.rows && here == kQueries)
                    step<kQueries, true>(at, stage, here, left, left_values, scale, for_keys, for_values);
                else if (row < at.rows && here > 16)
                    step<kQueries, false>(at, stage, here, left, left_values, scale, for_keys, for_values);
                else if (row < at.rows)
                    step<16, false>(at, stage, here, left, left_values, scale, for_keys, for_values);
            }
        });
        if constexpr (!kMasked) left_out = *any_left_out() != 0;
        const float unshift = power_of_two(-kWeightShift<kBf16>);
        if constexpr (kForKeys)
            if (call.grad_k.data != nullptr)
                store(call.grad_k, call.q, at, row, call.head_size, for_keys,
                      scale.out_of() * unshift * call.scale, left_out, m.eights.grad_k);
        if constexpr (kForValues)
            if (call.grad_v.data != nullptr)
                store(call.grad_v, call.grad_out, at, row, call.value_size, for_values,
                      kMasked && has_dropout(m.call) ? unshift * kept_factor(m.call) : unshift, left_out,
                      m.eights.grad_v);
    }

    // x: the operand that the sums are made of. What of it is not finite, they may lack.
    DEMI_DEVICE void store(const AttentionResult& out, const AttentionOperand& x, const TilePlace& at,
                           int row, int64_t size, float (&acc)[kSize / 8][4], float factor, bool left_out,
                           bool in_eights) const {
        const AttentionSegment& segment = *at.segment;
        store_sums<kSize, kMasked>(
            keys(), out, at, row, segment.k_begin + at.first, size, in_eights, acc, factor, factor, left_out,
            [&](const RowsOut<kSize>& leaving) {
                // A blind query must not pass on its NaN or infinity.
                const float* lse = lse_of(m.call) + query_index(m.call, at, segment.q_begin);
                leaving.add_not_finite(
                    x, row_offset(x, at, segment.q_begin), size, factor,
                    [&](int r) { return int_range(queries_of_key(segment, at.first + row + r)); },
                    [&](int query) { return is_minus_infinity(lse[query]); });
            },
            [&](const StagedRows& rows) {
                exact_grad_keys(m, rows, out.data == m.call.grad_v.data, left_out);
            });
    }

    // Where the next tile comes from, and what a thread knows already of one of its queries.
    struct Next {
        Rows queries, grad_out;
        int64_t index;
        float lse = 0, dot = 0;
    };

    // Reads it, of `rest` queries at most: on its way while a tile is multiplied.
    DEMI_DEVICE void look_ahead(Next& next, int rest) const {
        const int t = thread();
        const bool real = t < smaller(kQueries, rest);
        next.lse = real ? lse_of(m.call)[next.index + t] : 0.f;
        next.dot = real ? m.sums.dot[next.index + t] : 0.f;
    }

    // The next tile, of `rest` queries at most.
    DEMI_DEVICE void load_queries(int stage, Next& next, int rest) const {
        const int t = thread(), rows = smaller(kQueries, rest);
        next.queries.load(queries(stage), kQueries, rows);
        next.grad_out.load(grad_out(stage), kQueries, rows);
        if (t < kQueries) {
            const bool blind = is_minus_infinity(next.lse);
            const bool exact = !blind && next.dot != next.dot && m.sums.exact[next.index + t].sum > 0;
            float shift = gpu::infinity();
            if constexpr (kMasked) {
                if (exact) shift = -shift;
                if (!blind && !exact) shift = static_cast<float>(static_cast<double>(next.lse) * kLog2E);
            } else if (!blind && !exact) {
                shift = next.lse * static_cast<float>(kLog2E) - static_cast<float>(kWeightShift<kBf16>);
            }
            shifts(stage)[t] = shift;
            dots(stage)[t] = blind || exact ? 0.f : next.dot;
        }
        next.index += kQueries;
        look_ahead(next, rest - kQueries);
    }

    // Weights, with dropout, and the gradients of the scores of one tile.
    DEMI_DEVICE void masked_step(const TilePlace& at, int tile, int whole, int stage,
                                 const LeftRows<kSize>& left, const LeftRows<kSize>& left_values,
                                 const IntRange (&seen)[2], float (&weights)[kQueries / 8][4],
                                 float (&grads)[kQueries / 8][4]) const {
        const AttentionBackward& call = m.call;
        add_transposed<kSize, kQueries, kBf16>(weights, left, queries(stage), whole,
                                               static_cast<int>(call.head_size));
        if constexpr (kForKeys)
            add_transposed<kSize, kQueries, kBf16>(grads, left_values, grad_out(stage), whole,
                                                   static_cast<int>(call.value_size));
        const float scale = call.scale * static_cast<float>(kLog2E), kept = kept_factor(m.call);
        DEMI_UNROLL
        for (int n = 0; n < kQueries / 8; ++n) {
            if (8 * n >= whole) break;
            DEMI_UNROLL
            for (int e = 0; e < 2; ++e) {
                const int column = 8 * n + 2 * (gpu::lane() % 4) + e;
                const float shift = shifts(stage)[column] - kWeightShift<kBf16>, dot = dots(stage)[column];
                const bool blind = gpu::abs(shift) == gpu::infinity();
                const int query = tile + column;
                const int64_t token = at.segment->q_begin + query;
                DEMI_UNROLL
                for (int half = 0; half < 2; ++half) {
                    float& weight = weights[n][2 * half + e];
                    float& grad = grads[n][2 * half + e];
                    const int64_t key = at.segment->k_begin + at.first + lane_row(half);
                    const bool sees = !blind && query >= seen[half].begin && query < seen[half].end;
                    weight *= scale;
                    if (call.bias.data != nullptr && sees && key < at.segment->k_end)
                        weight += bias_score(m.call, row_offset(m.call.bias, at, token), key);
                    weight = sees ? gpu::exp2(weight - shift) : 0.f;
                    bool keep = true;
                    if (has_dropout(m.call))
                        keep = weight_is_kept(m.call, query_index(m.call, at, token), key);
                    if constexpr (kForKeys) {
                        if (has_dropout(m.call)) grad *= keep ? kept : 0.f;
                        grad = sees ? weight * (grad - dot) : 0.f;
                    }
                    if (!keep) weight = 0;
                }
            }
        }
    }

    DEMI_DEVICE void clear_blind(int stage) const {
        for_eights(kQueries, kSize, [&](int query, int column) {
            if (shifts(stage)[query] != gpu::infinity()) return;
            gpu::store16(queries(stage) + query * kStride + column, {});
            gpu::store16(grad_out(stage) + query * kStride + column, {});
        });
    }

    // `here` of kCount queries for the sixteen keys of this warp.
    template <int kCount, bool kWhole>
    DEMI_DEVICE void step(const TilePlace& at, int stage, int here, const LeftRows<kSize>& left,
                          const LeftRows<kSize>& left_values, WarpScale& scale,
                          float (&for_keys)[kSize / 8][4], float (&for_values)[kSize / 8][4]) const {
        float weights[kCount / 8][4] = {}, grads[kCount / 8][4] = {};
        const int mine = gpu::warp() * 16 + gpu::lane() / 4;
        scores<kSize, kCount, kBf16, kWhole>(weights, left, queries(stage), here, mine < at.rows,
                                             mine + 8 < at.rows);
        add_transposed<kSize, kCount, kBf16>(grads, left_values, grad_out(stage), kCount, kSize);
        const float to_powers = m.call.scale * static_cast<float>(kLog2E);
        DEMI_UNROLL
        for (int n = 0; n < kCount / 8; ++n) {
            DEMI_UNROLL
            for (int e = 0; e < 2; ++e) {
                const int column = 8 * n + 2 * (gpu::lane() % 4) + e;
                const float shift = shifts(stage)[column], dot = dots(stage)[column];
                DEMI_UNROLL
                for (int half = 0; half < 2; ++half) {
                    float& weight = weights[n][2 * half + e];
                    float& grad = grads[n][2 * half + e];
                    weight = gpu::exp2_approx(gpu::fma(weight, to_powers, -shift));
                    const bool real = kWhole || (column < here && mine + 8 * half < at.rows);
                    grad = real ? weight * (grad - dot) : 0.f;  // not 0 times what is not finite
                }
            }
        }
        multiply_add_rows<kSize, kCount, kBf16>(for_values, weights, grad_out(stage), kCount, kSize);
        fit<kBf16>(grads, scale, for_keys);
        multiply_add_rows<kSize, kCount, kBf16>(for_keys, grads, queries(stage), kCount, kSize);
    }
};

template <int kSize, bool kBf16, bool kMasked> using Both = BackwardKvKernel<kSize, kBf16, kMasked, 0>;
template <int kSize, bool kBf16, bool kMasked> using Keys = BackwardKvKernel<kSize, kBf16, kMasked, 1>;
template <int kSize, bool kBf16, bool kMasked> using Values = BackwardKvKernel<kSize, kBf16, kMasked, 2>;

template <bool kMasked> size_t shared(int64_t size, int rows) {
    const int queries = queries_of_tile(padded_size(size));
    const size_t tiles = shared_bytes<kMasked>(size, rows, 2 * rows + 4 * queries);
    return tiles == SIZE_MAX ? tiles : tiles + static_cast<size_t>(4 * queries) * sizeof(float);
}
template <bool kMasked> void launch(const MmaBackward& m, Queue queue) {
    const int64_t size = padded_size_of(m.call);
    if (size == 64) return launch_tiles<Both, 64, kMasked>(m, m.keys, shared<kMasked>, queue);
    if (size == 128) return launch_tiles<Both, 128, kMasked>(m, m.keys, shared<kMasked>, queue);
    if constexpr (kMasked) {
        if (m.call.grad_k.data != nullptr) launch_tiles<Keys, 256, true>(m, m.keys, shared<true>, queue);
        if (m.call.grad_v.data != nullptr) launch_tiles<Values, 256, true>(m, m.keys, shared<true>, queue);
    }
}

}  // namespace

const MmaKernel<AttentionBackward> mma_backward_kv{shared<true>, launch<true>};
const MmaKernel<AttentionBackward> unmasked_backward_kv{shared<false>, launch<false>};

}  // namespace demi::gpu_kernels
