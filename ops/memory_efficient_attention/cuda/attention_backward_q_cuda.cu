// The queries' gradient on tensor cores, one block for a tile of queries; and the row sums
// that the keys' kernel needs.
#include "ops/memory_efficient_attention/cuda/attention_backward_cuda.h"

namespace demi::gpu_kernels {
namespace {

// What a lane knows of its two rows, g and g + 8 of its warp.
struct RowState {
    IntRange seen[2];        // keys
    float shift[2], dot[2];  // log-sum-exp in powers of two
    bool complete;           // one tile holds all keys that the warp's rows see
    bool odd = false;        // the log-sum-exp of a row does not tell its weights apart
};

template <int kSize, bool kBf16> struct MmaBackwardQKernel {
    static constexpr int threads = 256;
    static constexpr int kKeys = keys_of_tile(kSize), kStride = kSize + 8;
    MmaBackward m;

    // Shared memory: counters, a flag, queries, gradients of the result, two stages of keys and of values.
    DEMI_DEVICE uint16_t* queries() const { return gpu::shared<uint16_t>() + kHeader; }
    DEMI_DEVICE uint16_t* grad_out() const { return queries() + m.queries.rows * kStride; }
    DEMI_DEVICE uint16_t* keys(int stage) const {
        return queries() + (2 * m.queries.rows + stage * kKeys) * kStride;
    }
    DEMI_DEVICE uint16_t* values(int stage) const { return keys(2 + stage); }

    DEMI_DEVICE void operator()() const {
        const AttentionBackward& call = m.call;
        const TilePlace at = place_of<false>(m, gpu::block_idx().x);
        const AttentionSegment& segment = *at.segment;
        if (at.rows == 0) return;
        const int capacity = m.queries.rows, row = gpu::warp() * 16;
        const int64_t token = segment.q_begin + at.first;
        if (gpu::thread_idx().x == 0) *found() = 0;
        count_grad_out(m, at);
        load_tile<kSize, kBf16>(queries(), capacity, call.q, row_offset(call.q, at.batch, at.head, token),
                                at.rows, call.head_size, m.eights.q);
        load_tile<kSize, kBf16>(grad_out(), capacity, call.grad_out,
                                row_offset(call.grad_out, at.batch, at.head, token), at.rows, call.value_size,
                                m.eights.grad_out);
        const IntRange first = int_range(keys_of_query(segment, at.first)),
                       last = int_range(keys_of_query(segment, at.first + at.rows - 1));
        const int begin = first.begin / kKeys * kKeys, end = last.end,
                  all = static_cast<int>(keys_in(segment));
        if (begin < end) load_keys(at, begin, 0);
        gpu::cp_async_commit();
        gpu::cp_async_wait<0>();
        gpu::sync_threads();

        RowState state = start(at, row);
        float acc[kSize / 8][4];
        set_zero(acc);
        LeftRows<kSize> left, left_grad;
        left.load(queries(), row, call.head_size);
        left_grad.load(grad_out(), row, call.value_size);
        WarpScale scale;
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
            const int here = smaller(kKeys, all - tile), whole = round_up_16(here);
            float grads[kKeys / 8][4];
            if (row < at.rows) step(at, tile, whole, stage, left, left_grad, state, grads);
            if (last.begin > tile || first.end < tile + here) {
                gpu::sync_threads();  // the scores needed the keys as they are
                take_out_not_finite<kSize, kBf16>(keys(stage), here, call.head_size, found());
                gpu::sync_threads();
            }
            if (row < at.rows) {
                fit<kBf16>(grads, whole, scale, acc);
                multiply_add_rows<kSize, kKeys, kBf16>(acc, grads, keys(stage), whole,
                                                       static_cast<int>(call.head_size));
            }
            gpu::sync_threads();
        }
        const int rows = smaller(16, at.rows - row);
        const bool exact = rows > 0 && store_dots(at, row, state);
        if (call.grad_q.data == nullptr) {
            if (exact) exact_grad_queries(m, {at, row, rows, kStride, nullptr});
            return;
        }
        gpu::sync_threads();
        LaneCount lost;
        if (rows > 0) {
            const float factor = scale.out_of() * call.scale;
            const RowsOut<kSize> leaving(queries());
            leaving.take(acc, factor, factor);
            if (*found() != 0)
                leaving.add_not_finite(
                    call.k, row_offset(call.k, at.batch, at.head, segment.k_begin), call.head_size, rows,
                    factor, [&](int r) { return seen_by_row(m.call, at, row + r); },
                    [](int) { return false; });
            if (exact || any_not_finite(acc, factor, factor))
                exact_grad_queries(m, {at, row, rows, kStride, leaving.stage});
            leaving.store(call.grad_q, row_offset(call.grad_q, at.batch, at.head, token + row), rows,
                          call.head_size, m.eights.grad_q, lost);
        }
        if (m.call.grad_q.lost != nullptr) add_counts(lost, gpu::shared<uint32_t>(), m.call.grad_q.lost);
    }

    DEMI_DEVICE void load_keys(const TilePlace& at, int tile, int stage) const {
        load_keys_and_values<kSize, kBf16>(m, at, tile, keys(stage), values(stage));
    }

    // The rows' ranges, log-sum-exp and sums of grad_out * out. A row that saw nothing
    // sees nothing here either.
    DEMI_DEVICE RowState start(const TilePlace& at, int row) const {
        const AttentionBackward& call = m.call;
        const AttentionOperand& out = m.call.out;
        RowState state;
        for (int half = 0; half < 2; ++half) {
            const int mine = row + gpu::lane() / 4 + 8 * half;
            const int64_t query = at.first + mine, token = at.segment->q_begin + query;
            const bool real = mine < at.rows;
            const int64_t index = real ? query_index(m.call, at.batch, at.head, token) : 0;
            const float lse = real ? lse_of(call)[index] : -gpu::infinity();
            const bool odd = is_odd_lse(lse), saw = !odd && !is_minus_infinity(lse);
            state.odd |= odd;
            state.seen[half] = saw ? int_range(keys_of_query(*at.segment, query)) : IntRange{0, 0};
            state.shift[half] = saw ? static_cast<float>(static_cast<double>(lse) * kLog2E) : 0.f;
            float sum = 0;
            if (real) {
                const int64_t from = row_offset(out, at.batch, at.head, token);
                for (int64_t c = gpu::lane() % 4; c < call.value_size; c += 4)
                    sum = gpu::fma(unpack_one<kBf16>(grad_out()[mine * kStride + c]),
                                   element<float>(out, from + c), sum);
            }
            sum = row_sum(sum);
            state.dot[half] = saw ? sum - grad_lse_at(m.call, index) : 0.f;
        }
        const int64_t low = at.first + row,
                      high = low + 15 < at.first + at.rows ? low + 15 : at.first + at.rows - 1;
        const int64_t begin = keys_of_query(*at.segment, low).begin,
                      end = keys_of_query(*at.segment, high).end;
        state.complete = row < at.rows && begin / kKeys == (end - 1) / kKeys;
        return state;
    }

    // Gives whether exact sums are needed as well.
    DEMI_DEVICE bool store_dots(const TilePlace& at, int row, const RowState& state) const {
        bool finite = true;
        for (int half = 0; half < 2; ++half) {
            const int mine = row + gpu::lane() / 4 + 8 * half;
            if (mine >= at.rows) continue;
            finite &= gpu::is_finite(state.dot[half]);
            if (gpu::lane() % 4 == 0)
                m.sums.dot[query_index(m.call, at.batch, at.head, at.segment->q_begin + at.first + mine)] =
                    state.dot[half];
        }
        gpu::sync_warp();
        return gpu::ballot(state.odd || !finite) != 0;
    }

    // The gradients of the scores of one tile.
    DEMI_DEVICE void step(const TilePlace& at, int tile, int whole, int stage, const LeftRows<kSize>& left,
                          const LeftRows<kSize>& left_grad, RowState& state,
                          float (&grads)[kKeys / 8][4]) const {
        const AttentionBackward& call = m.call;
        float weights[kKeys / 8][4];
        multiply_transposed<kSize, kKeys, kBf16>(weights, left, keys(stage), whole,
                                                 static_cast<int>(call.head_size));
        multiply_transposed<kSize, kKeys, kBf16>(grads, left_grad, values(stage), whole,
                                                 static_cast<int>(call.value_size));
        const float scale = call.scale * static_cast<float>(kLog2E), kept = kept_factor(m.call);
        DEMI_UNROLL
        for (int half = 0; half < 2; ++half) {
            const int64_t query = at.first + gpu::warp() * 16 + gpu::lane() / 4 + 8 * half;
            const int64_t token = at.segment->q_begin + query;
            const IntRange seen{state.seen[half].begin - tile, state.seen[half].end - tile};
            float dot = 0;
            DEMI_UNROLL
            for (int n = 0; n < kKeys / 8; ++n) {
                if (8 * n >= whole) break;
                const int column = 8 * n + 2 * (gpu::lane() % 4);
                const int64_t key = at.segment->k_begin + tile + column;
                KeptPair pair{true, true};
                if (has_dropout(m.call))
                    pair = kept_pair(call.dropout,
                                     static_cast<uint64_t>(
                                         query_index(m.call, at.batch, at.head, token) * call.keys + key));
                DEMI_UNROLL
                for (int e = 0; e < 2; ++e) {
                    float& weight = weights[n][2 * half + e];
                    float& grad = grads[n][2 * half + e];
                    const bool sees = column + e >= seen.begin && column + e < seen.end;
                    weight *= scale;
                    if (call.bias.data != nullptr && sees)
                        weight += bias_score(m.call, bias_offset(m.call, at.batch, at.head, token), key + e);
                    weight = sees ? gpu::exp2(weight - state.shift[half]) : 0.f;
                    if (has_dropout(m.call)) grad *= (e == 0 ? pair.first : pair.second) ? kept : 0.f;
                    if (!sees) grad = 0;
                    dot = gpu::fma(weight, grad, dot);
                }
            }
            if (state.complete) {  // this sum knows nothing of the rounding of the result
                dot = row_sum(dot);
                if (seen.begin < seen.end && seen.end > 0 && seen.begin < kKeys)
                    state.dot[half] =
                        dot - grad_lse_at(m.call, query_index(m.call, at.batch, at.head, token));
            }
            DEMI_UNROLL
            for (int n = 0; n < kKeys / 8; ++n) {
                if (8 * n >= whole) break;
                DEMI_UNROLL
                for (int e = 0; e < 2; ++e) {
                    const int column = 8 * n + 2 * (gpu::lane() % 4) + e;
                    const bool sees = column >= seen.begin && column < seen.end;
                    float& grad = grads[n][2 * half + e];
                    grad = sees ? weights[n][2 * half + e] * (grad - state.dot[half]) : 0.f;
                }
            }
        }
    }
};

size_t shared(int64_t size, int rows) {
    const int64_t padded = padded_size(size), keys = keys_of_tile(padded);
    return kCountScratch + 16 + static_cast<size_t>((2 * rows + 4 * keys) * (padded + 8)) * 2;
}

void launch(const MmaBackward& m, Queue queue) {
    launch_padded<MmaBackwardQKernel>(m, m.queries, shared, queue);
}

}  // namespace

const MmaKernel<AttentionBackward> mma_backward_q{shared, launch};

}  // namespace demi::gpu_kernels
