// The queries' gradient on tensor cores, one block for a tile of queries; and the row sums that the keys'
// kernel needs.
#include "ops/memory_efficient_attention/cuda/attention_backward_cuda.h"

namespace demi::gpu_kernels {
namespace {

constexpr int kPart = 32;  // of a tile's keys, that a warp takes at a time without kMasked

// What a lane knows of its two rows, g and g + 8 of its warp.
struct RowState {
    float shift[2], dot[2];  // shift: log-sum-exp in powers of two
    // kMasked. Without it the shift of a row that saw nothing, or is taken in double, is infinite.
    IntRange seen[2];  // keys
    bool complete;     // one tile holds all keys that the warp's rows see
    bool odd;          // the log-sum-exp of a row does not tell its weights apart
};

template <int kSize, bool kBf16, bool kMasked> struct BackwardQKernel {
    static constexpr int threads = kThreads<kSize, kMasked>, blocks = kBlocks<kSize, kMasked>;
    static constexpr int kKeys = keys_of_tile(kSize), kStride = kSize + 8;
    MmaBackward m;

    // Shared memory: the header (without kMasked a flag for each warp meanwhile), queries, gradients of the
    // result, two stages of keys and of values.
    DEMI_DEVICE uint16_t* queries() const { return gpu::shared<uint16_t>() + kHeader<kMasked>; }
    DEMI_DEVICE uint16_t* grad_out() const { return queries() + m.queries.rows * kStride; }
    DEMI_DEVICE uint16_t* keys(int stage) const {
        return queries() + (2 * m.queries.rows + stage * kKeys) * kStride;
    }
    DEMI_DEVICE uint16_t* values(int stage) const { return keys(2 + stage); }
    DEMI_DEVICE int* is_exact() const { return gpu::shared<int>(); }

    DEMI_DEVICE void operator()() const {
        const AttentionBackward& call = m.call;
        const TilePlace at = place_of<false>(m, gpu::block_idx().x);
        const AttentionSegment& segment = *at.segment;
        if (at.rows == 0) return;
        const int capacity = m.queries.rows, row = gpu::warp() * 16, all = static_cast<int>(keys_in(segment));
        const int64_t token = segment.q_begin + at.first;
        if (kMasked && gpu::thread_idx().x == 0) *found() = 0;
        count_rows(call.grad_out, at, token, at.rows, call.value_size, m.eights.grad_out);
        typedef Walk<kSize, kBf16, kMasked> Rows;
        Rows(call.q, at, token, call.head_size, m.eights.q).load(queries(), capacity, at.rows);
        Rows(call.grad_out, at, token, call.value_size, m.eights.grad_out)
            .load(grad_out(), capacity, at.rows);
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
            key_rows.load(keys(stage), kKeys, rows);
            value_rows.load(values(stage), kKeys, rows);
        };
        gpu::cp_async_commit();
        if (begin < end) load_keys(begin, 0);
        gpu::cp_async_commit();

        RowState state;
        if constexpr (kMasked) {
            gpu::cp_async_wait<1>();
            gpu::sync_threads();
            state = masked_start(at, row);
        } else {
            const Results results = read_results(at);
            gpu::cp_async_wait<1>();
            gpu::sync_threads();
            state = start(at, results);
            const bool needs = store_dots(at, state);
            if (gpu::lane() == 0) is_exact()[gpu::warp()] = needs;
        }
        float acc[kSize / 8][4] = {};
        LeftRows<kSize> left, left_grad;
        left.load(queries(), row, kMasked ? call.head_size : kSize);
        left_grad.load(grad_out(), row, kMasked ? call.value_size : kSize);
        WarpScale scale;
        for_tiles<kKeys>(begin, end, load_keys, [&](int tile, int stage) {
            if constexpr (kMasked) {
                const int here = smaller(kKeys, all - tile), whole = round_up_16(here);
                float grads[kKeys / 8][4] = {};
                if (row < at.rows) masked_step(at, tile, whole, stage, left, left_grad, state, grads);
                if (last.begin > tile || first.end < tile + here) {
                    gpu::sync_threads();  // the scores needed the keys as they are
                    take_out_not_finite<kSize, kBf16>(keys(stage), here, call.head_size, found());
                    gpu::sync_threads();
                }
                if (row >= at.rows) return;
                fit<kBf16>(grads, scale, acc);
                multiply_add_rows<kSize, kKeys, kBf16>(acc, grads, keys(stage), whole,
                                                       static_cast<int>(call.head_size));
            } else {
                const int count = row < at.rows ? smaller(kKeys, all - tile) : 0;
                DEMI_ROLLED
                for (int part = 0; part < count; part += kPart) {
                    const uint16_t *k = keys(stage) + part * kStride, *v = values(stage) + part * kStride;
                    if (count - part >= kPart)
                        step<kPart, true>(k, v, kPart, left, left_grad, state, scale, acc);
                    else if (count - part > 16)
                        step<kPart, false>(k, v, count - part, left, left_grad, state, scale, acc);
                    else
                        step<16, false>(k, v, count - part, left, left_grad, state, scale, acc);
                }
            }
        });
        const bool exact = row < at.rows && (kMasked ? store_dots(at, state) : is_exact()[gpu::warp()] != 0);
        if (call.grad_q.data == nullptr) {
            if (exact) exact_grad_queries(m, {at, row, smaller(16, at.rows - row), kStride, nullptr});
            return;
        }
        const float factor = scale.out_of() * call.scale;
        if constexpr (!kMasked) {
            DEMI_UNROLL
            for (int n = 0; n < kSize / 8; ++n) {  // a row that saw nothing: not 0 times what it holds
                DEMI_UNROLL
                for (int e = 0; e < 4; ++e)
                    if (state.shift[e / 2] == gpu::infinity()) acc[n][e] = 0;
            }
        }
        store_sums<kSize, kMasked>(
            queries(), m.call.grad_q, at, row, token, call.head_size, m.eights.grad_q, acc, factor, factor,
            exact,
            [&](const RowsOut<kSize>& leaving) {
                leaving.add_not_finite(
                    call.k, row_offset(call.k, at, segment.k_begin), call.head_size, factor,
                    [&](int r) { return seen_by_row(m.call, at, row + r); }, [](int) { return false; });
            },
            [&](const StagedRows& rows) { exact_grad_queries(m, rows); });
    }

    // The rows' ranges, log-sum-exp and sums of grad_out * out. A row that saw nothing sees nothing.
    DEMI_DEVICE RowState masked_start(const TilePlace& at, int row) const {
        const AttentionBackward& call = m.call;
        const AttentionOperand& out = m.call.out;
        RowState state;
        state.odd = false;
        for (int half = 0; half < 2; ++half) {
            const int mine = lane_row(half);
            const int64_t query = at.first + mine, token = at.segment->q_begin + query;
            const bool real = mine < at.rows;
            const int64_t index = real ? query_index(m.call, at, token) : 0;
            const float lse = real ? lse_of(call)[index] : -gpu::infinity();
            const bool odd = is_odd_lse(lse), saw = !odd && !is_minus_infinity(lse);
            state.odd |= odd;
            state.seen[half] = saw ? int_range(keys_of_query(*at.segment, query)) : IntRange{0, 0};
            state.shift[half] = saw ? static_cast<float>(static_cast<double>(lse) * kLog2E) : 0.f;
            float sum = 0;
            if (real) {
                const int64_t from = row_offset(out, at, token);
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

    // Gives whether exact sums are needed as well: of a row with weights that its log-sum-exp does not tell, or
    // a dot that is not finite.
    DEMI_DEVICE bool store_dots(const TilePlace& at, const RowState& state) const {
        bool needs = kMasked && state.odd;
        DEMI_UNROLL
        for (int half = 0; half < 2; ++half) {
            const int mine = lane_row(half);
            if (mine >= at.rows) continue;
            needs |= !gpu::is_finite(state.dot[half]) || (!kMasked && state.shift[half] == gpu::infinity());
            if (gpu::lane() % 4 == 0)
                m.sums.dot[query_index(m.call, at, at.segment->q_begin + at.first + mine)] = state.dot[half];
        }
        gpu::sync_warp();
        return gpu::ballot(needs) != 0;
    }

    // The gradients of the scores of one tile.
    DEMI_DEVICE void masked_step(const TilePlace& at, int tile, int whole, int stage,
                                 const LeftRows<kSize>& left, const LeftRows<kSize>& left_grad,
                                 RowState& state, float (&grads)[kKeys / 8][4]) const {
        const AttentionBackward& call = m.call;
        float weights[kKeys / 8][4] = {};
        add_transposed<kSize, kKeys, kBf16>(weights, left, keys(stage), whole,
                                            static_cast<int>(call.head_size));
        add_transposed<kSize, kKeys, kBf16>(grads, left_grad, values(stage), whole,
                                            static_cast<int>(call.value_size));
        const float scale = call.scale * static_cast<float>(kLog2E), kept = kept_factor(m.call);
        DEMI_UNROLL
        for (int half = 0; half < 2; ++half) {
            const int64_t query = at.first + lane_row(half);
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
                                     static_cast<uint64_t>(query_index(m.call, at, token) * call.keys + key));
                DEMI_UNROLL
                for (int e = 0; e < 2; ++e) {
                    float& weight = weights[n][2 * half + e];
                    float& grad = grads[n][2 * half + e];
                    const bool sees = column + e >= seen.begin && column + e < seen.end;
                    weight *= scale;
                    if (call.bias.data != nullptr && sees)
                        weight += bias_score(m.call, row_offset(m.call.bias, at, token), key + e);
                    weight = sees ? gpu::exp2(weight - state.shift[half]) : 0.f;
                    if (has_dropout(m.call)) grad *= (e == 0 ? pair.first : pair.second) ? kept : 0.f;
                    if (!sees) grad = 0;
                    dot = gpu::fma(weight, grad, dot);
                }
            }
            if (state.complete) {  // this sum knows nothing of the rounding of the result
                dot = row_sum(dot);
                if (seen.begin < seen.end && seen.end > 0 && seen.begin < kKeys)
                    state.dot[half] = dot - grad_lse_at(m.call, query_index(m.call, at, token));
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

    // What a lane reads of the result's rows without kMasked: on its way while the tiles come.
    struct Results {
        Raw8 part[2][kSize / 32];
        float lse[2];
    };
    DEMI_DEVICE Results read_results(const TilePlace& at) const {
        const AttentionOperand& out = m.call.out;
        Results r;
        DEMI_UNROLL
        for (int half = 0; half < 2; ++half) {
            const int mine = lane_row(half);
            const int64_t token = at.segment->q_begin + at.first + mine;
            const int64_t from = row_offset(out, at, token) + gpu::lane() % 4 * 8;
            const bool real = mine < at.rows;
            r.lse[half] = real ? lse_of(m.call)[query_index(m.call, at, token)] : -gpu::infinity();
            DEMI_UNROLL
            for (int i = 0; i < kSize / 32; ++i)
                r.part[half][i] = real ? load_raw(out.data, from + 32 * i, out.dtype) : Raw8{};
        }
        return r;
    }

    // As masked_start.
    DEMI_DEVICE RowState start(const TilePlace& at, const Results& results) const {
        const AttentionBackward& call = m.call;
        RowState state;
        DEMI_UNROLL
        for (int half = 0; half < 2; ++half) {
            const int mine = lane_row(half);
            const float lse = results.lse[half];
            const bool saw = !is_minus_infinity(lse) && !is_odd_lse(lse);
            state.shift[half] = saw ? lse * static_cast<float>(kLog2E) : gpu::infinity();
            float sum = 0;
            DEMI_UNROLL
            for (int i = 0; i < kSize / 32; ++i) {
                const gpu::Bytes16 grads =
                    gpu::load16(grad_out() + mine * kStride + 32 * i + gpu::lane() % 4 * 8);
                float x[8];
                unpack(x, results.part[half][i], call.out.dtype);
                DEMI_UNROLL
                for (int j = 0; j < 8; ++j) {
                    const uint16_t bits = static_cast<uint16_t>(grads.w[j / 2] >> (16 * (j % 2)));
                    sum = gpu::fma(unpack_one<kBf16>(bits), x[j], sum);
                }
            }
            sum = row_sum(sum);
            if (saw) sum -= grad_lse_at(call, query_index(call, at, at.segment->q_begin + at.first + mine));
            state.dot[half] = saw ? sum : 0.f;
        }
        return state;
    }

    // `here` of kCount keys.
    template <int kCount, bool kWhole>
    DEMI_DEVICE void step(const uint16_t* k, const uint16_t* v, int here, const LeftRows<kSize>& left,
                          const LeftRows<kSize>& left_grad, const RowState& state, WarpScale& scale,
                          float (&acc)[kSize / 8][4]) const {
        float weights[kCount / 8][4] = {}, grads[kCount / 8][4] = {};
        scores<kSize, kCount, kBf16, kWhole>(weights, left, k, here);
        add_transposed<kSize, kCount, kBf16>(grads, left_grad, v, kCount, kSize);
        const float to_powers = m.call.scale * static_cast<float>(kLog2E);
        DEMI_UNROLL
        for (int n = 0; n < kCount / 8; ++n) {
            DEMI_UNROLL
            for (int e = 0; e < 4; ++e) {
                const float weight =
                    gpu::exp2_approx(gpu::fma(weights[n][e], to_powers, -state.shift[e / 2]));
                const bool real = kWhole || 8 * n + 2 * (gpu::lane() % 4) + e % 2 < here;
                grads[n][e] = real ? weight * (grads[n][e] - state.dot[e / 2]) : 0.f;
            }
        }
        fit<kBf16>(grads, scale, acc);
        multiply_add_rows<kSize, kCount, kBf16>(acc, grads, k, kCount, kSize);
    }
};

template <bool kMasked> size_t shared(int64_t size, int rows) {
    return shared_bytes<kMasked>(size, rows, 2 * rows + 4 * keys_of_tile(padded_size(size)));
}

}  // namespace

const MmaKernel<AttentionBackward> mma_backward_q{shared<true>,
                                                  launch_queries<BackwardQKernel, true, shared<true>>};
const MmaKernel<AttentionBackward> unmasked_backward_q{shared<false>,
                                                       launch_queries<BackwardQKernel, false, shared<false>>};

}  // namespace demi::gpu_kernels
