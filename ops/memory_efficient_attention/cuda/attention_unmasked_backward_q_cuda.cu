// The queries' gradient as attention_backward_q_cuda.cu, for what attention_unmasked_cuda.h is about.
#include "ops/memory_efficient_attention/cuda/attention_unmasked_cuda.h"

namespace demi::gpu_kernels {
namespace {

template <int kSize> constexpr int kKeyTile = kSize <= 64 ? 64 : 32;  // a warp takes kPart at a time
constexpr int kPart = 32;

// What a lane knows of its two rows, g and g + 8 of its warp: log-sum-exp in powers of two, infinite for a
// row that saw nothing, or is taken in double.
struct RowState {
    float shift[2], dot[2];
};

template <int kSize, bool kBf16> struct UnmaskedBackwardQKernel {
    static constexpr int threads = 2 * kMostRows<kSize>, blocks = kBlocks<kSize>;
    static constexpr int kKeys = kKeyTile<kSize>, kStride = kSize + 8;
    MmaBackward m;

    // Shared memory: counters (a flag for each warp meanwhile), queries, gradients of the result, two stages of keys and of values.
    DEMI_DEVICE uint16_t* queries() const { return gpu::shared<uint16_t>() + kCountScratch / 2; }
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
        count_grad_out(m, at);
        load_rows<kSize, kBf16>(queries(), capacity, call.q,
                                first_unit<kSize>(call.q, row_offset(call.q, at.batch, at.head, token)),
                                at.rows);
        load_rows<kSize, kBf16>(
            grad_out(), capacity, call.grad_out,
            first_unit<kSize>(call.grad_out, row_offset(call.grad_out, at.batch, at.head, token)), at.rows);
        int64_t key_unit = first_unit<kSize>(call.k, row_offset(call.k, at.batch, at.head, segment.k_begin)),
                value_unit =
                    first_unit<kSize>(call.v, row_offset(call.v, at.batch, at.head, segment.k_begin));
        gpu::cp_async_commit();
        if (all > 0) load_keys(0, key_unit, value_unit, all);
        gpu::cp_async_commit();
        const Results results = read_results(at, row);
        gpu::cp_async_wait<1>();
        gpu::sync_threads();

        const RowState state = start(at, row, results);
        const bool needs = needs_exact(at, row, state);
        if (gpu::lane() == 0) is_exact()[gpu::warp()] = needs;
        float acc[kSize / 8][4];
        set_zero(acc);
        LeftRows<kSize> left, left_grad;
        left.load(queries(), row, kSize);
        left_grad.load(grad_out(), row, kSize);
        WarpScale scale;
        int stage = 0;
        for (int tile = 0; tile < all; tile += kKeys, stage ^= 1) {
            gpu::cp_async_wait<0>();
            gpu::sync_threads();  // the tile is there, and the one before it is done with
            if (tile + kKeys < all) load_keys(stage ^ 1, key_unit, value_unit, all - tile - kKeys);
            gpu::cp_async_commit();
            const int end = row < at.rows ? smaller(kKeys, all - tile) : 0;
            DEMI_ROLLED
            for (int part = 0; part < end; part += kPart) {
                const uint16_t *k = keys(stage) + part * kStride, *v = values(stage) + part * kStride;
                if (end - part >= kPart)
                    step<kPart, true>(k, v, kPart, left, left_grad, state, scale, acc);
                else if (end - part > 16)
                    step<kPart, false>(k, v, end - part, left, left_grad, state, scale, acc);
                else
                    step<16, false>(k, v, end - part, left, left_grad, state, scale, acc);
            }
        }
        gpu::cp_async_wait<0>();
        const int rows = smaller(16, at.rows - row);
        gpu::sync_threads();
        const bool exact = rows > 0 && is_exact()[gpu::warp()] != 0;
        if (call.grad_q.data == nullptr) {
            if (exact) exact_grad_queries(m, {at, row, rows, kStride, nullptr});
            return;
        }
        LaneCount lost;
        if (rows > 0) {
            const float factor = scale.out_of() * call.scale;
            DEMI_UNROLL
            for (int n = 0; n < kSize / 8; ++n) {  // a row that saw nothing: not 0 times what it holds
                DEMI_UNROLL
                for (int e = 0; e < 4; ++e)
                    if (state.shift[e / 2] == gpu::infinity()) acc[n][e] = 0;
            }
            store_rows<kSize>(queries(), call.grad_q, row_offset(call.grad_q, at.batch, at.head, token + row),
                              rows, m.eights.grad_q, acc, factor, factor, lost, exact, [&](float* stage) {
                                  exact_grad_queries(m, {at, row, rows, kStride, stage});
                              });
        }
        if (m.call.grad_q.lost != nullptr) add_counts(lost, gpu::shared<uint32_t>(), m.call.grad_q.lost);
    }

    // The next tile, of `rest` keys at most.
    DEMI_DEVICE void load_keys(int stage, int64_t& key_unit, int64_t& value_unit, int rest) const {
        load_next<kSize, kBf16, kKeys>(keys(stage), m.call.k, key_unit, values(stage), m.call.v, value_unit,
                                       rest);
    }

    // What a lane reads of the result's rows: on its way while the tiles come.
    struct Results {
        Raw8 part[2][kSize / 32];
        float lse[2];
    };
    DEMI_DEVICE Results read_results(const TilePlace& at, int row) const {
        const AttentionOperand& out = m.call.out;
        Results r;
        DEMI_UNROLL
        for (int half = 0; half < 2; ++half) {
            const int mine = row + gpu::lane() / 4 + 8 * half;
            const int64_t token = at.segment->q_begin + at.first + mine;
            const int64_t from = row_offset(out, at.batch, at.head, token) + gpu::lane() % 4 * 8;
            const bool real = mine < at.rows;
            r.lse[half] =
                real ? lse_of(m.call)[query_index(m.call, at.batch, at.head, token)] : -gpu::infinity();
            DEMI_UNROLL
            for (int i = 0; i < kSize / 32; ++i)
                r.part[half][i] = real ? load_raw(out.data, from + 32 * i, out.dtype) : Raw8{};
        }
        return r;
    }

    // The rows' log-sum-exp and sums of grad_out * out, which the keys' kernel needs too.
    DEMI_DEVICE RowState start(const TilePlace& at, int row, const Results& results) const {
        const AttentionBackward& call = m.call;
        RowState state;
        DEMI_UNROLL
        for (int half = 0; half < 2; ++half) {
            const int mine = row + gpu::lane() / 4 + 8 * half;
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
            const bool real = mine < at.rows;
            const int64_t index =
                query_index(m.call, at.batch, at.head, at.segment->q_begin + at.first + (real ? mine : 0));
            if (saw) sum -= grad_lse_at(call, index);
            state.dot[half] = saw ? sum : 0.f;
            if (real && gpu::lane() % 4 == 0) m.sums.dot[index] = state.dot[half];
        }
        return state;
    }

    // Whether a row has weights that its log-sum-exp does not tell (or none), or a dot that is not finite.
    DEMI_DEVICE bool needs_exact(const TilePlace& at, int row, const RowState& state) const {
        bool needs = false;
        DEMI_UNROLL
        for (int half = 0; half < 2; ++half)
            needs |= row + gpu::lane() / 4 + 8 * half < at.rows &&
                     (state.shift[half] == gpu::infinity() || !gpu::is_finite(state.dot[half]));
        return gpu::ballot(needs) != 0;
    }

    // `here` of kCount keys for the sixteen rows of this warp.
    template <int kCount, bool kWhole>
    DEMI_DEVICE void step(const uint16_t* k, const uint16_t* v, int here, const LeftRows<kSize>& left,
                          const LeftRows<kSize>& left_grad, const RowState& state, WarpScale& scale,
                          float (&acc)[kSize / 8][4]) const {
        float weights[kCount / 8][4], grads[kCount / 8][4];
        scores<kSize, kCount, kBf16, kWhole>(weights, left, k, here);
        multiply_transposed<kSize, kCount, kBf16>(grads, left_grad, v, kCount, kSize);
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
        fit_all<kBf16>(grads, scale, acc);
        multiply_add_rows<kSize, kCount, kBf16>(acc, grads, k, kCount, kSize);
    }
};

size_t shared(int64_t size, int rows) {
    if (rows > (size <= 64 ? kMostRows<64> : kMostRows<128>)) return SIZE_MAX;
    const int keys = size <= 64 ? kKeyTile<64> : kKeyTile<128>;
    return kCountScratch + static_cast<size_t>((2 * rows + 4 * keys) * (size + 8)) * 2;
}

void launch(const MmaBackward& m, Queue queue) {
    if (m.call.head_size == 64) return launch_tiles<UnmaskedBackwardQKernel, 64>(m, m.queries, shared, queue);
    launch_tiles<UnmaskedBackwardQKernel, 128>(m, m.queries, shared, queue);
}

}  // namespace

const MmaKernel<AttentionBackward> unmasked_backward_q{shared, launch};

}  // namespace demi::gpu_kernels
