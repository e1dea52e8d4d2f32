#pragma once
// Internal, for .cu files: the building blocks of attention on tensor cores. A block of threads works on 16
// rows per warp; operands lie in shared memory as in attention_fragments_cuda.h, zero beyond the real size
// and the real rows.
#include "ops/memory_efficient_attention/cuda/attention_fragments_cuda.h"

namespace demi::gpu_kernels {

// One tile of one segment, batch and head.
struct TilePlace {
    const AttentionSegment* segment;
    int batch, head;
    int first;            // its first row, in the segment
    int rows;             // real ones
    int64_t tile, tiles;  // of the segment
};

template <bool kKeys, class Call>
DEMI_DEVICE TilePlace place_of(const AttentionMma<Call>& m, uint32_t block) {
    const AttentionTiles& tiles = kKeys ? m.keys : m.queries;
    const auto count = static_cast<uint32_t>(tiles.count), heads = static_cast<uint32_t>(m.call.heads);
    const uint32_t pair = block / count, tile = block - pair * count;
    int64_t s = 0;
    if (tiles.first_tile != nullptr) {
        int64_t high = m.call.segment_count - 1;
        while (s < high) {
            const int64_t middle = (s + high + 1) / 2;
            if (tiles.first_tile[middle] <= tile)
                s = middle;
            else
                high = middle - 1;
        }
    }
    const int64_t begin = tiles.first_tile != nullptr ? tiles.first_tile[s] : 0;
    const int64_t end = tiles.first_tile != nullptr ? tiles.first_tile[s + 1] : tiles.count;
    TilePlace at;
    at.segment = &segment_at(m.call, s);
    at.batch = static_cast<int>(pair / heads);
    at.head = static_cast<int>(pair % heads);
    at.tile = tile - begin;
    at.tiles = end - begin;
    at.first = static_cast<int>(at.tile * tiles.rows);
    const int64_t all = kKeys ? keys_in(*at.segment) : queries_in(*at.segment);
    at.rows = static_cast<int>(within(all - at.first, 0, tiles.rows));
    return at;
}

// A range within a segment; segments are shorter than 2^31 here.
struct IntRange {
    int begin, end;
};
DEMI_DEVICE IntRange int_range(Range r) { return {static_cast<int>(r.begin), static_cast<int>(r.end)}; }
DEMI_DEVICE int smaller(int a, int b) { return a < b ? a : b; }

// The keys that a row of the place saw with any weight at all, forward.
template <class Call> DEMI_DEVICE IntRange seen_by_row(const Call& call, const TilePlace& at, int row) {
    const int64_t query = at.first + row, token = at.segment->q_begin + query;
    if (is_minus_infinity(lse_of(call)[query_index(call, at.batch, at.head, token)])) return {0, 0};
    return int_range(keys_of_query(*at.segment, query));
}

// Rows of an operand to shared memory, as they enter the kernel. What needs no cast is on its way when this
// returns: see cp_async_wait.
template <int kSize, bool kBf16>
DEMI_DEVICE void load_tile(uint16_t* tile, int capacity, const AttentionOperand& x, int64_t first, int rows,
                           int64_t size, bool in_eights) {
    constexpr int kStride = kSize + 8;
    const int eights = round_up_16(size) / 8;
    const bool as_is = x.dtype == (kBf16 ? DType::bf16 : DType::f16) && !x.cast.round;
    const int threads = static_cast<int>(gpu::block_dim().x);
    for (int u = static_cast<int>(gpu::thread_idx().x); u < capacity * eights; u += threads) {
        const int row = u / eights, column = (u - row * eights) * 8;
        uint16_t* to = tile + row * kStride + column;
        const int64_t at = first + row * x.token + column;
        const bool real = row < rows && column < size;
        if (in_eights && as_is) {
            gpu::cp_async16(to, static_cast<const uint16_t*>(x.data) + (real ? at : first), real);
            continue;
        }
        float v[8];
        if (real && in_eights) {
            load_eight(v, x.data, at, x.dtype);
        } else {
            DEMI_UNROLL
            for (int j = 0; j < 8; ++j)
                v[j] = real && column + j < size ? load_one(x.data, at + j, x.dtype) : 0.f;
        }
        gpu::Bytes16 packed;
        DEMI_UNROLL
        for (int j = 0; j < 8; ++j)
            if (!as_is) v[j] = cross(v[j], x.cast);
        DEMI_UNROLL
        for (int j = 0; j < 4; ++j) packed.w[j] = pack<kBf16>(v[2 * j], v[2 * j + 1]);
        gpu::store16(to, packed);
    }
}

// ---- what the kernels for any mask share

// Shared memory begins with the counters and a flag: see take_out_not_finite.
constexpr int kHeader = kCountScratch / 2 + 8;  // 16-bit elements
DEMI_DEVICE int* found() { return reinterpret_cast<int*>(gpu::shared<uint16_t>() + kCountScratch / 2); }

inline int64_t padded_size(int64_t size) { return size <= 64 ? 64 : size <= 128 ? 128 : 256; }
// Of the kernels that take a tile of queries through the keys: keys of a tile.
DEMI_HOST_DEVICE constexpr int keys_of_tile(int64_t padded) {
    return padded <= 64 ? 64 : padded <= 128 ? 32 : 16;
}
template <int kSize, bool kBf16, class Call>
DEMI_DEVICE void load_keys_and_values(const AttentionMma<Call>& m, const TilePlace& at, int tile,
                                      uint16_t* keys, uint16_t* values) {
    constexpr int kKeys = keys_of_tile(kSize);
    const Call& call = m.call;
    const int64_t token = at.segment->k_begin + tile;
    const int rows = static_cast<int>(least(kKeys, keys_in(*at.segment) - tile));
    load_tile<kSize, kBf16>(keys, kKeys, call.k, row_offset(call.k, at.batch, at.head, token), rows,
                            call.head_size, m.eights.k);
    load_tile<kSize, kBf16>(values, kKeys, call.v, row_offset(call.v, at.batch, at.head, token), rows,
                            call.value_size, m.eights.v);
}

// Counts the cast of some rows.
DEMI_DEVICE void count_rows(const AttentionOperand& x, int64_t first, int64_t rows, int64_t size,
                            bool in_eights, LaneCount& lost) {
    const int64_t units = in_eights ? size / 8 : size, threads = gpu::block_dim().x;
    for (int64_t u = gpu::thread_idx().x; u < rows * units; u += threads) {
        const int64_t row = u / units, at = first + row * x.token + (u - row * units) * (in_eights ? 8 : 1);
        if (!in_eights) {
            lost.add(load_one(x.data, at, x.dtype) * x.cast.scale);
            continue;
        }
        float v[8];
        load_eight(v, x.data, at, x.dtype);
        DEMI_UNROLL
        for (int j = 0; j < 8; ++j) v[j] *= x.cast.scale;
        lost.add_all(v);
    }
}

// The rows of a tile of queries, and their share of the segment's keys and values.
DEMI_DEVICE void count_operands(const MmaForward& m, const TilePlace& at) {
    const AttentionForward& call = m.call;
    const int64_t begin = keys_in(*at.segment) * at.tile / at.tiles;
    const int64_t end = keys_in(*at.segment) * (at.tile + 1) / at.tiles;
    const auto count = [&](const AttentionOperand& x, int64_t token, int64_t rows, int64_t size,
                           bool in_eights) {
        if (x.lost == nullptr) return;
        LaneCount lost;
        count_rows(x, row_offset(x, at.batch, at.head, token), rows, size, in_eights, lost);
        add_counts(lost, gpu::shared<uint32_t>(), x.lost);
    };
    count(call.q, at.segment->q_begin + at.first, at.rows, call.head_size, m.eights.q);
    count(call.k, at.segment->k_begin + begin, end - begin, call.head_size, m.eights.k);
    count(call.v, at.segment->k_begin + begin, end - begin, call.value_size, m.eights.v);
}
DEMI_DEVICE void count_grad_out(const MmaBackward& m, const TilePlace& at) {
    const AttentionOperand& x = m.call.grad_out;
    if (x.lost == nullptr) return;
    LaneCount lost;
    count_rows(x, row_offset(x, at.batch, at.head, at.segment->q_begin + at.first), at.rows,
               m.call.value_size, m.eights.grad_out, lost);
    add_counts(lost, gpu::shared<uint32_t>(), x.lost);
}

// Zeros in place of what is not finite: in a tile that a row must not see, 0 * infinity would be NaN. Says
// so in *found; RowsOut::add_not_finite puts back what was taken.
template <int kSize, bool kBf16>
DEMI_DEVICE void take_out_not_finite(uint16_t* tile, int rows, int64_t size, int* found) {
    constexpr uint32_t kExponent = kBf16 ? 0x7f80u : 0x7c00u;
    const int eights = round_up_16(size) / 8, threads = static_cast<int>(gpu::block_dim().x);
    for (int u = static_cast<int>(gpu::thread_idx().x); u < rows * eights; u += threads) {
        const int row = u / eights;
        uint16_t* at = tile + row * (kSize + 8) + (u - row * eights) * 8;
        gpu::Bytes16 v = gpu::load16(at);
        bool changed = false;
        DEMI_UNROLL
        for (int j = 0; j < 4; ++j) {
            if ((v.w[j] & kExponent) == kExponent) v.w[j] &= 0xffff0000u, changed = true;
            if ((v.w[j] >> 16 & kExponent) == kExponent) v.w[j] &= 0xffffu, changed = true;
        }
        if (!changed) continue;
        gpu::store16(at, v);
        *found = 1;
    }
}

// The bias of one score, and whether one weight is kept: as bias_at and is_kept,
// called where code is unrolled.
DEMI_CALLED float bias_score(const AttentionCall& call, int64_t row, int64_t key_token) {
    return bias_at<float>(call, row, key_token);
}
DEMI_CALLED bool weight_is_kept(const AttentionCall& call, int64_t index, int64_t key_token) {
    return is_kept(call, index, key_token);
}

// Which of one row's pair of neighbouring weights are kept.
struct KeptPair {
    bool first, second;
};
DEMI_CALLED KeptPair kept_pair(const AttentionDropout& d, uint64_t word) {
    const gpu::Words4 one = gpu::philox_block(d.seed, offset_of(d) + word / 4);
    const unsigned at = static_cast<unsigned>(word % 4);
    const uint32_t first = at == 0 ? one.w[0] : at == 1 ? one.w[1] : at == 2 ? one.w[2] : one.w[3];
    const uint32_t second = at == 0   ? one.w[1]
                            : at == 1 ? one.w[2]
                            : at == 2 ? one.w[3]
                                      : gpu::philox(d.seed, offset_of(d), word + 1);
    return {keeps(d, first), keeps(d, second)};
}

// One block for a tile of every batch and head, two threads for a row.
template <template <int, bool> class Kernel, int kSize, class Call>
void launch_tiles(const AttentionMma<Call>& m, const AttentionTiles& tiles, size_t (*shared)(int64_t, int),
                  Queue queue) {
    const gpu::Dim3 grid{static_cast<unsigned>(m.call.batch * m.call.heads * tiles.count)};
    const gpu::Dim3 block{static_cast<unsigned>(tiles.rows * 2)};
    const size_t bytes = shared(kSize, tiles.rows);
    if (m.bf16)
        gpu::launch(Kernel<kSize, true>{m}, grid, block, bytes, queue.stream);
    else
        gpu::launch(Kernel<kSize, false>{m}, grid, block, bytes, queue.stream);
}
template <class Call> int64_t padded_size_of(const Call& call) {
    return padded_size(most(call.head_size, call.value_size));
}
// Of kernels for any size.
template <template <int, bool> class Kernel, class Call>
void launch_padded(const AttentionMma<Call>& m, const AttentionTiles& tiles, size_t (*shared)(int64_t, int),
                   Queue queue) {
    const int64_t size = padded_size_of(m.call);
    if (size == 64) return launch_tiles<Kernel, 64>(m, tiles, shared, queue);
    if (size == 128) return launch_tiles<Kernel, 128>(m, tiles, shared, queue);
    launch_tiles<Kernel, 256>(m, tiles, shared, queue);
}

}  // namespace demi::gpu_kernels
