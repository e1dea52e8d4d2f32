// The keys' and values' gradients on tensor cores, one block for a tile of keys, which goes through the
// queries that see it in their order. Scores stand transposed here: a row is a key, a column a query.
#include "ops/memory_efficient_attention/cuda/attention_backward_cuda.h"

namespace demi::gpu_kernels {
namespace {

template <int kSize> constexpr int kQueryTile = kSize <= 128 ? 32 : 16;

// kWhich: 0 both gradients, 1 the keys', 2 the values'. Both do not fit into the
// registers at the largest size.
template <int kSize, bool kBf16, int kWhich> struct MmaBackwardKvKernel {
    static constexpr int threads = 256;
    static constexpr int kQueries = kQueryTile<kSize>, kStride = kSize + 8;
    static constexpr bool kForKeys = kWhich != 2, kForValues = kWhich != 1;
    MmaBackward m;

    // Shared memory: counters, a flag, keys, values, two stages of queries, of gradients and
    // of what is known of them.
    DEMI_DEVICE uint16_t* keys() const { return gpu::shared<uint16_t>() + kHeader; }
    DEMI_DEVICE uint16_t* values() const { return keys() + m.keys.rows * kStride; }
    DEMI_DEVICE uint16_t* queries(int stage) const {
        return keys() + (2 * m.keys.rows + stage * kQueries) * kStride;
    }
    DEMI_DEVICE uint16_t* grad_out(int stage) const { return queries(2 + stage); }
    DEMI_DEVICE float* shifts(int stage) const {
        return reinterpret_cast<float*>(queries(4)) + stage * kQueries;
    }
    DEMI_DEVICE float* dots(int stage) const { return shifts(2 + stage); }

    DEMI_DEVICE void operator()() const {
        const AttentionBackward& call = m.call;
        const TilePlace at = place_of<true>(m, gpu::block_idx().x);
        const AttentionSegment& segment = *at.segment;
        if (at.rows == 0) return;
        const int capacity = m.keys.rows, row = gpu::warp() * 16;
        const int64_t token = segment.k_begin + at.first;
        if (gpu::thread_idx().x == 0) *found() = 0;
        load_tile<kSize, kBf16>(keys(), capacity, call.k, row_offset(call.k, at.batch, at.head, token),
                                at.rows, call.head_size, m.eights.k);
        load_tile<kSize, kBf16>(values(), capacity, call.v, row_offset(call.v, at.batch, at.head, token),
                                at.rows, call.value_size, m.eights.v);
        const IntRange first = int_range(queries_of_key(segment, at.first)),
                       last = int_range(queries_of_key(segment, at.first + at.rows - 1));
        const int begin = first.begin / kQueries * kQueries, end = last.end,
                  all = static_cast<int>(queries_in(segment));
        if (begin < end) load_queries(at, begin, 0);
        gpu::cp_async_commit();
        if (begin >= end) gpu::cp_async_wait<0>();

        IntRange seen[2];
        for (int half = 0; half < 2; ++half)
            seen[half] = int_range(queries_of_key(segment, at.first + row + gpu::lane() / 4 + 8 * half));
        float for_keys[kForKeys ? kSize / 8 : 1][4], for_values[kForValues ? kSize / 8 : 1][4];
        set_zero(for_keys);
        set_zero(for_values);
        LeftRows<kSize> left, left_values;
        WarpScale scale;
        bool left_out = false;
        int stage = 0;
        for (int tile = begin; tile < end; tile += kQueries, stage ^= 1) {
            if (tile + kQueries < end) {
                load_queries(at, tile + kQueries, stage ^ 1);
                gpu::cp_async_commit();
                gpu::cp_async_wait<1>();
            } else {
                gpu::cp_async_wait<0>();
            }
            gpu::sync_threads();
            if (tile == begin) {
                left.load(keys(), row, call.head_size);
                left_values.load(values(), row, call.value_size);
            }
            const int here = smaller(kQueries, all - tile), whole = round_up_16(here);
            float weights[kQueries / 8][4], grads[kQueries / 8][4];
            if (row < at.rows) step(at, tile, whole, stage, left, left_values, seen, weights, grads);
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
            if (row < at.rows) {
                if constexpr (kForValues)
                    multiply_add_rows<kSize, kQueries, kBf16>(for_values, weights, grad_out(stage), whole,
                                                              static_cast<int>(call.value_size));
                if constexpr (kForKeys) {
                    fit<kBf16>(grads, whole, scale, for_keys);
                    multiply_add_rows<kSize, kQueries, kBf16>(for_keys, grads, queries(stage), whole,
                                                              static_cast<int>(call.head_size));
                }
            }
            gpu::sync_threads();
        }
        gpu::sync_threads();
        const bool put_back = begin < end && *found() != 0;
        const float unshift = power_of_two(-kWeightShift<kBf16>);
        if constexpr (kForKeys)
            if (call.grad_k.data != nullptr)
                store(call.grad_k, at, row, call.head_size, for_keys, scale.out_of() * unshift * call.scale,
                      put_back ? &call.q : nullptr, left_out, m.eights.grad_k, m.call.grad_k.lost);
        if constexpr (kForValues)
            if (call.grad_v.data != nullptr)
                store(call.grad_v, at, row, call.value_size, for_values,
                      unshift * (has_dropout(m.call) ? kept_factor(m.call) : 1.f),
                      put_back ? &call.grad_out : nullptr, left_out, m.eights.grad_v, m.call.grad_v.lost);
    }

    // `taken_from`: the operand whose values that are not finite the sums lack, or null.
    template <int kCount>
    DEMI_DEVICE void store(const AttentionResult& out, const TilePlace& at, int row, int64_t size,
                           const float (&acc)[kCount][4], float factor, const AttentionOperand* taken_from,
                           bool left_out, bool in_eights, CastCounters* sums) const {
        LaneCount lost;
        const int rows = smaller(16, at.rows - row);
        if (rows > 0) {
            const AttentionSegment& segment = *at.segment;
            const int64_t token = segment.k_begin + at.first + row;
            const RowsOut<kSize> leaving(keys());
            leaving.take(acc, factor, factor);
            // A blind query must not pass on its NaN or infinity.
            const float* lse = lse_of(m.call) + query_index(m.call, at.batch, at.head, segment.q_begin);
            if (taken_from != nullptr)
                leaving.add_not_finite(
                    *taken_from, row_offset(*taken_from, at.batch, at.head, segment.q_begin), size, rows,
                    factor, [&](int r) { return int_range(queries_of_key(segment, at.first + row + r)); },
                    [&](int query) { return is_minus_infinity(lse[query]); });
            if (left_out || any_not_finite(acc, factor, factor))
                exact_grad_keys(m, {at, row, rows, kStride, leaving.stage}, out.data == m.call.grad_v.data,
                                left_out);
            leaving.store(out, row_offset(out, at.batch, at.head, token), rows, size, in_eights, lost);
        }
        if (sums != nullptr) add_counts(lost, gpu::shared<uint32_t>(), sums);
    }

    DEMI_DEVICE void load_queries(const TilePlace& at, int tile, int stage) const {
        const AttentionBackward& call = m.call;
        const int64_t token = at.segment->q_begin + tile;
        const int rows = static_cast<int>(least(kQueries, queries_in(*at.segment) - tile));
        load_tile<kSize, kBf16>(queries(stage), kQueries, call.q,
                                row_offset(call.q, at.batch, at.head, token), rows, call.head_size,
                                m.eights.q);
        load_tile<kSize, kBf16>(grad_out(stage), kQueries, call.grad_out,
                                row_offset(call.grad_out, at.batch, at.head, token), rows, call.value_size,
                                m.eights.grad_out);
        const int t = static_cast<int>(gpu::thread_idx().x);
        if (t >= kQueries) return;
        const bool real = t < rows;
        const int64_t index = query_index(m.call, at.batch, at.head, token + (real ? t : 0));
        const float lse = lse_of(call)[index];
        const bool saw = real && !is_minus_infinity(lse), exact = saw && is_exact(m.sums, index);
        shifts(stage)[t] = !real   ? 0.f
                           : !saw  ? gpu::infinity()
                           : exact ? -gpu::infinity()
                                   : static_cast<float>(static_cast<double>(lse) * kLog2E);
        dots(stage)[t] = saw && !exact ? m.sums.dot[index] : 0.f;
    }

    // Weights, with dropout, and the gradients of the scores of one tile.
    DEMI_DEVICE void step(const TilePlace& at, int tile, int whole, int stage, const LeftRows<kSize>& left,
                          const LeftRows<kSize>& left_values, const IntRange (&seen)[2],
                          float (&weights)[kQueries / 8][4], float (&grads)[kQueries / 8][4]) const {
        const AttentionBackward& call = m.call;
        multiply_transposed<kSize, kQueries, kBf16>(weights, left, queries(stage), whole,
                                                    static_cast<int>(call.head_size));
        if constexpr (kForKeys)
            multiply_transposed<kSize, kQueries, kBf16>(grads, left_values, grad_out(stage), whole,
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
                    const int64_t key =
                        at.segment->k_begin + at.first + gpu::warp() * 16 + gpu::lane() / 4 + 8 * half;
                    const bool sees = !blind && query >= seen[half].begin && query < seen[half].end;
                    weight *= scale;
                    if (call.bias.data != nullptr && sees && key < at.segment->k_end)
                        weight += bias_score(m.call, bias_offset(m.call, at.batch, at.head, token), key);
                    weight = sees ? gpu::exp2(weight - shift) : 0.f;
                    bool keep = true;
                    if (has_dropout(m.call))
                        keep = weight_is_kept(m.call, query_index(m.call, at.batch, at.head, token), key);
                    if constexpr (kForKeys) {
                        if (has_dropout(m.call)) grad *= keep ? kept : 0.f;
                        grad = sees ? weight * (grad - dot) : 0.f;
                    }
                    if (!keep) weight = 0;
                }
            }
        }
    }
};

template <int kSize, bool kBf16> using BothKernel = MmaBackwardKvKernel<kSize, kBf16, 0>;
template <int kSize, bool kBf16> using KeysKernel = MmaBackwardKvKernel<kSize, kBf16, 1>;
template <int kSize, bool kBf16> using ValuesKernel = MmaBackwardKvKernel<kSize, kBf16, 2>;

size_t shared(int64_t size, int rows) {
    const int64_t padded = padded_size(size);
    const int64_t queries = padded <= 128 ? kQueryTile<128> : kQueryTile<256>;
    return kCountScratch + 16 + static_cast<size_t>((2 * rows + 4 * queries) * (padded + 8)) * 2 +
           static_cast<size_t>(4 * queries) * sizeof(float);
}

void launch(const MmaBackward& m, Queue queue) {
    const int64_t size = padded_size_of(m.call);
    if (size == 64) return launch_tiles<BothKernel, 64>(m, m.keys, shared, queue);
    if (size == 128) return launch_tiles<BothKernel, 128>(m, m.keys, shared, queue);
    if (m.call.grad_k.data != nullptr) launch_tiles<KeysKernel, 256>(m, m.keys, shared, queue);
    if (m.call.grad_v.data != nullptr) launch_tiles<ValuesKernel, 256>(m, m.keys, shared, queue);
}

}  // namespace

const MmaKernel<AttentionBackward> mma_backward_kv{shared, launch};

}  // namespace demi::gpu_kernels
