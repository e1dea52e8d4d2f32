// The keys' and values' gradients as attention_backward_kv_cuda.cu, for what attention_unmasked_cuda.h is
// about. Scores stand transposed here: a row is a key, a column a query.
#include "ops/memory_efficient_attention/cuda/attention_unmasked_cuda.h"

namespace demi::gpu_kernels {
namespace {

constexpr int kQueries = 32;  // of a tile

template <int kSize, bool kBf16> struct UnmaskedBackwardKvKernel {
    static constexpr int threads = 2 * kMostRows<kSize>, blocks = kBlocks<kSize>;
    static constexpr int kStride = kSize + 8;
    MmaBackward m;

    // Shared memory: counters (a flag meanwhile), keys, values, two stages of queries, of gradients and
    // of what is known of them.
    DEMI_DEVICE uint16_t* keys() const { return gpu::shared<uint16_t>() + kCountScratch / 2; }
    DEMI_DEVICE uint16_t* values() const { return keys() + m.keys.rows * kStride; }
    DEMI_DEVICE uint16_t* queries(int stage) const {
        return keys() + (2 * m.keys.rows + stage * kQueries) * kStride;
    }
    DEMI_DEVICE uint16_t* grad_out(int stage) const { return queries(2 + stage); }
    DEMI_DEVICE float* shifts(int stage) const {
        return reinterpret_cast<float*>(queries(4)) + stage * kQueries;
    }
    DEMI_DEVICE float* dots(int stage) const { return shifts(2 + stage); }
    DEMI_DEVICE int* left_out() const { return gpu::shared<int>(); }

    DEMI_DEVICE void operator()() const {
        const AttentionBackward& call = m.call;
        const TilePlace at = place_of<true>(m, gpu::block_idx().x);
        const AttentionSegment& segment = *at.segment;
        if (at.rows == 0) return;
        const int capacity = m.keys.rows, row = gpu::warp() * 16, all = static_cast<int>(queries_in(segment));
        const int64_t token = segment.k_begin + at.first;
        load_rows<kSize, kBf16>(keys(), capacity, call.k,
                                first_unit<kSize>(call.k, row_offset(call.k, at.batch, at.head, token)),
                                at.rows);
        load_rows<kSize, kBf16>(values(), capacity, call.v,
                                first_unit<kSize>(call.v, row_offset(call.v, at.batch, at.head, token)),
                                at.rows);
        Next next{
            first_unit<kSize>(call.q, row_offset(call.q, at.batch, at.head, segment.q_begin)),
            first_unit<kSize>(call.grad_out, row_offset(call.grad_out, at.batch, at.head, segment.q_begin)),
            query_index(m.call, at.batch, at.head, segment.q_begin)};
        look_ahead(next, all);
        if (all > 0) load_queries(0, next, all);
        gpu::cp_async_commit();

        float for_keys[kSize / 8][4], for_values[kSize / 8][4];
        set_zero(for_keys);
        set_zero(for_values);
        LeftRows<kSize> left, left_values;
        WarpScale scale;
        if (gpu::thread_idx().x == 0) *left_out() = 0;
        int stage = 0;
        for (int tile = 0; tile < all; tile += kQueries, stage ^= 1) {
            gpu::cp_async_wait<0>();
            gpu::sync_threads();  // the tile is there, and the one before it is done with
            if (tile + kQueries < all) load_queries(stage ^ 1, next, all - tile - kQueries);
            gpu::cp_async_commit();
            if (tile == 0) {
                left.load(keys(), row, kSize);
                left_values.load(values(), row, kSize);
            }
            // A query that saw nothing, or is left out, must not pass on its NaN or infinity.
            if (gpu::ballot(shifts(stage)[gpu::lane()] == gpu::infinity()) != 0) {
                *left_out() = 1;
                clear_blind(stage);
                gpu::sync_threads();
            }
            const int here = smaller(kQueries, all - tile);
            if (row + 16 <= at.rows && here == kQueries)
                step<kQueries, true>(at, stage, here, left, left_values, scale, for_keys, for_values);
            else if (row < at.rows && here > 16)
                step<kQueries, false>(at, stage, here, left, left_values, scale, for_keys, for_values);
            else if (row < at.rows)
                step<16, false>(at, stage, here, left, left_values, scale, for_keys, for_values);
        }
        gpu::cp_async_wait<0>();
        gpu::sync_threads();
        const bool some_left_out = *left_out() != 0;
        const float unshift = power_of_two(-kWeightShift<kBf16>);
        if (call.grad_k.data != nullptr)
            store(call.grad_k, at, row, for_keys, scale.out_of() * unshift * call.scale, some_left_out,
                  m.eights.grad_k, m.call.grad_k.lost);
        if (call.grad_v.data != nullptr)
            store(call.grad_v, at, row, for_values, unshift, some_left_out, m.eights.grad_v,
                  m.call.grad_v.lost);
    }

    DEMI_DEVICE void store(const AttentionResult& out, const TilePlace& at, int row,
                           float (&acc)[kSize / 8][4], float factor, bool left_out, bool in_eights,
                           CastCounters* sums) const {
        LaneCount lost;
        const int rows = smaller(16, at.rows - row);
        if (rows > 0) {
            const int64_t token = at.segment->k_begin + at.first + row;
            store_rows<kSize>(keys(), out, row_offset(out, at.batch, at.head, token), rows, in_eights, acc,
                              factor, factor, lost, left_out, [&](float* stage) {
                                  exact_grad_keys(m, {at, row, rows, kStride, stage},
                                                  out.data == m.call.grad_v.data, left_out);
                              });
        }
        if (sums != nullptr) add_counts(lost, gpu::shared<uint32_t>(), sums);
    }

    // Where the next tile comes from, and what a thread knows already of one of its queries.
    struct Next {
        int64_t query_unit, grad_unit, index;
        float lse = 0, dot = 0;
    };

    // Reads it, of `rest` queries at most: on its way while a tile is multiplied.
    DEMI_DEVICE void look_ahead(Next& next, int rest) const {
        const int t = static_cast<int>(gpu::thread_idx().x);
        const bool real = t < smaller(kQueries, rest);
        next.lse = real ? lse_of(m.call)[next.index + t] : 0.f;
        next.dot = real ? m.sums.dot[next.index + t] : 0.f;
    }

    // The next tile, of `rest` queries at most.
    DEMI_DEVICE void load_queries(int stage, Next& next, int rest) const {
        const int t = static_cast<int>(gpu::thread_idx().x);
        load_next<kSize, kBf16, kQueries>(queries(stage), m.call.q, next.query_unit, grad_out(stage),
                                          m.call.grad_out, next.grad_unit, rest);
        if (t < kQueries) {
            const bool blind =
                is_minus_infinity(next.lse) || (next.dot != next.dot && m.sums.exact[next.index + t].sum > 0);
            shifts(stage)[t] =
                blind ? gpu::infinity()
                      : next.lse * static_cast<float>(kLog2E) - static_cast<float>(kWeightShift<kBf16>);
            dots(stage)[t] = blind ? 0.f : next.dot;
        }
        next.index += kQueries;
        look_ahead(next, rest - kQueries);
    }

    DEMI_DEVICE void clear_blind(int stage) const {
        const int step = static_cast<int>(gpu::block_dim().x);
        for (int u = static_cast<int>(gpu::thread_idx().x); u < kQueries * kSize / 8; u += step) {
            const int query = u / (kSize / 8), at = query * kStride + u % (kSize / 8) * 8;
            if (shifts(stage)[query] != gpu::infinity()) continue;
            gpu::store16(queries(stage) + at, {});
            gpu::store16(grad_out(stage) + at, {});
        }
    }

    // `here` of kCount queries for the sixteen keys of this warp.
    template <int kCount, bool kWhole>
    DEMI_DEVICE void step(const TilePlace& at, int stage, int here, const LeftRows<kSize>& left,
                          const LeftRows<kSize>& left_values, WarpScale& scale,
                          float (&for_keys)[kSize / 8][4], float (&for_values)[kSize / 8][4]) const {
        float weights[kCount / 8][4], grads[kCount / 8][4];
        const int mine = gpu::warp() * 16 + gpu::lane() / 4;
        scores<kSize, kCount, kBf16, kWhole>(weights, left, queries(stage), here, mine < at.rows,
                                             mine + 8 < at.rows);
        multiply_transposed<kSize, kCount, kBf16>(grads, left_values, grad_out(stage), kCount, kSize);
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
        fit_all<kBf16>(grads, scale, for_keys);
        multiply_add_rows<kSize, kCount, kBf16>(for_keys, grads, queries(stage), kCount, kSize);
    }
};

size_t shared(int64_t size, int rows) {
    if (rows > (size <= 64 ? kMostRows<64> : kMostRows<128>)) return SIZE_MAX;
    return kCountScratch + static_cast<size_t>((2 * rows + 4 * kQueries) * (size + 8)) * 2 +
           static_cast<size_t>(4 * kQueries) * sizeof(float);
}

void launch(const MmaBackward& m, Queue queue) {
    if (m.call.head_size == 64) return launch_tiles<UnmaskedBackwardKvKernel, 64>(m, m.keys, shared, queue);
    launch_tiles<UnmaskedBackwardKvKernel, 128>(m, m.keys, shared, queue);
}

}  // namespace

const MmaKernel<AttentionBackward> unmasked_backward_kv{shared, launch};

}  // namespace demi::gpu_kernels
