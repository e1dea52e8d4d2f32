#pragma once
// Internal, for .cu files: the building blocks of attention on tensor cores. A block of threads works on 16
// rows per warp; operands lie in shared memory as in attention_fragments_cuda.h, zero beyond the real size
// and the real rows.
//
// kMasked: a kernel for any size, mask, bias and dropout. Without it nothing is in the way: every query of a
// segment sees all its keys, no bias, no dropout, one head size, rows of whole 16 bytes. What holds for all
// elements is settled before the loops then, so that these are products and a handful of instructions for
// each score.
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

DEMI_DEVICE int thread() { return static_cast<int>(gpu::thread_idx().x); }
DEMI_DEVICE int threads_of_block() { return static_cast<int>(gpu::block_dim().x); }
// A lane's rows of a place: g (half 0) and g + 8 (1) of its warp's.
DEMI_DEVICE int lane_row(int half) { return gpu::warp() * 16 + gpu::lane() / 4 + 8 * half; }

template <bool kKeys, class Call>
DEMI_DEVICE TilePlace place_of(const AttentionMma<Call>& m, uint32_t block) {
    const AttentionTiles& tiles = kKeys ? m.keys : m.queries;
    const auto count = static_cast<uint32_t>(tiles.count), heads = static_cast<uint32_t>(m.call.heads);
    const uint32_t pair = block / count, tile = block - pair * count;
    const auto ends_behind = [&](int64_t i) { return tiles.first_tile[i + 1] > tile; };
    const int64_t s = gpu::first_true(m.call.segment_count - 1, ends_behind);
    const int64_t begin = tiles.first_tile != nullptr ? tiles.first_tile[s] : 0;
    const int64_t end = tiles.first_tile != nullptr ? tiles.first_tile[s + 1] : tiles.count;
    const AttentionSegment& segment = segment_at(m.call, s);
    const int first = static_cast<int>((tile - begin) * tiles.rows);
    const int64_t rest = (kKeys ? keys_in(segment) : queries_in(segment)) - first;
    return {&segment,
            static_cast<int>(pair / heads),
            static_cast<int>(pair % heads),
            first,
            static_cast<int>(within(rest, 0, tiles.rows)),
            tile - begin,
            end - begin};
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
    if (is_minus_infinity(lse_of(call)[query_index(call, at, token)])) return {0, 0};
    return int_range(keys_of_query(*at.segment, query));
}

// fn(row, column) for the eights of a tile's rows that this thread takes.
template <class F> DEMI_DEVICE void for_eights(int rows, int64_t size, const F& fn) {
    const int eights = round_up_16(size) / 8, step = threads_of_block();
    for (int u = thread(); u < rows * eights; u += step) fn(u / eights, (u - u / eights * eights) * 8);
}
template <bool kBf16> DEMI_DEVICE gpu::Bytes16 pack_eight(const float (&v)[8]) {
    return {
        {pack<kBf16>(v[0], v[1]), pack<kBf16>(v[2], v[3]), pack<kBf16>(v[4], v[5]), pack<kBf16>(v[6], v[7])}};
}

// Rows of an operand to shared memory, as they enter the kernel.
template <int kSize, bool kBf16>
DEMI_DEVICE void load_tile(uint16_t* tile, int capacity, const AttentionOperand& x, int64_t first, int rows,
                           int64_t size, bool in_eights) {
    constexpr int kStride = kSize + 8;
    const bool as_is = x.dtype == (kBf16 ? DType::bf16 : DType::f16) && !x.cast.round;
    for_eights(capacity, size, [&](int row, int column) {
        uint16_t* to = tile + row * kStride + column;
        const int64_t at = first + row * x.token + column;
        const bool real = row < rows && column < size;
        if (in_eights && as_is) {
            gpu::cp_async16(to, static_cast<const uint16_t*>(x.data) + (real ? at : first), real);
            return;
        }
        float v[8];
        if (real && in_eights) {
            load_some(v, x.data, at, x.dtype);
        } else {
            DEMI_UNROLL
            for (int j = 0; j < 8; ++j)
                v[j] = real && column + j < size ? load_one(x.data, at + j, x.dtype) : 0.f;
        }
        DEMI_UNROLL
        for (int j = 0; j < 8; ++j)
            if (!as_is) v[j] = cross(v[j], x.cast);
        gpu::store16(to, pack_eight<kBf16>(v));
    });
}

// Without kMasked tiles travel in units of eight elements; a thread's next unit follows so many rows later.
template <int kSize> DEMI_DEVICE int rows_at_once() { return threads_of_block() / (kSize / 8); }

// What casts stays out of line, so that it costs nothing where nothing is cast.
template <int kSize, bool kBf16>
DEMI_OUT_OF_LINE void cast_rows(uint16_t* to, int row, int rows, int capacity, const AttentionOperand& x,
                                int64_t unit) {
    const int step = rows_at_once<kSize>();
    DEMI_ROLLED
    for (; row < capacity; row += step, to += step * (kSize + 8), unit += step * x.token) {
        gpu::Bytes16 packed{};
        if (row < rows) {
            float v[8];
            load_some(v, x.data, unit, x.dtype);
            DEMI_UNROLL
            for (int j = 0; j < 8; ++j) v[j] = cross(v[j], x.cast);
            packed = pack_eight<kBf16>(v);
        }
        gpu::store16(to, packed);
    }
}
// The same without kMasked, from a thread's first unit on.
template <int kSize, bool kBf16>
DEMI_DEVICE void load_rows(uint16_t* tile, int capacity, const AttentionOperand& x, int64_t unit, int rows) {
    constexpr int kUnits = kSize / 8, kStride = kSize + 8;
    const int t = thread(), step = rows_at_once<kSize>();
    int row = t / kUnits;
    uint16_t* to = tile + row * kStride + t % kUnits * 8;
    if (x.dtype != (kBf16 ? DType::bf16 : DType::f16) || x.cast.round)
        return cast_rows<kSize, kBf16>(to, row, rows, capacity, x, unit);
    const uint16_t* from = static_cast<const uint16_t*>(x.data) + unit;
    const int64_t apart = step * x.token;
    for (; row < rows; row += step, to += step * kStride, from += apart) gpu::cp_async16(to, from, true);
    for (; row < capacity; row += step, to += step * kStride) gpu::store16(to, {});
}

// The rows of an operand that a block goes through, from a token on: where the next ones are.
template <int kSize, bool kBf16, bool kMasked> struct Walk {
    const AttentionOperand& x;
    int64_t at, size;  // at: of the next row, or (not kMasked) of this thread's first unit of it
    bool in_eights;

    DEMI_DEVICE Walk(const AttentionOperand& x_, const TilePlace& place, int64_t token, int64_t size_,
                     bool in_eights_)
        : x(x_), at(row_offset(x_, place, token)), size(size_), in_eights(in_eights_) {
        const int t = thread();
        if constexpr (!kMasked) at += t / (kSize / 8) * x.token + t % (kSize / 8) * 8;
    }
    // The next `capacity` rows to shared memory, zeros beyond `rows` of them. What needs no cast is on its
    // way when this returns: see cp_async_wait.
    DEMI_DEVICE void load(uint16_t* tile, int capacity, int rows) {
        if constexpr (kMasked)
            load_tile<kSize, kBf16>(tile, capacity, x, at, rows, size, in_eights);
        else
            load_rows<kSize, kBf16>(tile, capacity, x, at, rows);
        at += capacity * x.token;
    }
};

// fn(tile, stage) for the tiles of kRows rows from `begin` on, below `end`; load(tile, stage) puts one on its
// way while the one before is worked on, the first one before. All threads of the block.
template <int kRows, class Load, class F>
DEMI_DEVICE void for_tiles(int begin, int end, const Load& load, const F& fn) {
    int stage = 0;
    for (int tile = begin; tile < end; tile += kRows, stage ^= 1) {
        gpu::cp_async_wait<0>();
        gpu::sync_threads();  // the tile is there, and the one before it is done with
        if (tile + kRows < end) load(tile + kRows, stage ^ 1);
        gpu::cp_async_commit();
        fn(tile, stage);
    }
    gpu::cp_async_wait<0>();
    gpu::sync_threads();
}

// ---- shared memory and counts

// Shared memory begins with the counters and (kMasked) a flag: see take_out_not_finite.
template <bool kMasked> constexpr int kHeader = kCountScratch / 2 + (kMasked ? 8 : 0);  // 16-bit elements
DEMI_DEVICE int* found() { return reinterpret_cast<int*>(gpu::shared<uint16_t>() + kCountScratch / 2); }

// Rows of a block without kMasked: the registers of kBlocks such blocks fit into a multiprocessor.
DEMI_HOST_DEVICE constexpr int most_rows(int64_t size) { return size <= 64 ? 96 : 128; }
template <int kSize, bool kMasked> constexpr int kThreads = kMasked ? 256 : 2 * most_rows(kSize);
template <int kSize, bool kMasked> constexpr int kBlocks = !kMasked && kSize <= 64 ? 2 : 1;

// Bytes of a block's shared memory for so many rows of tiles, of that size; more than there are where a tile
// of `capacity` rows is too large.
template <bool kMasked> size_t shared_bytes(int64_t size, int capacity, int64_t rows) {
    if (!kMasked && capacity > most_rows(size)) return SIZE_MAX;
    return static_cast<size_t>(kHeader<kMasked> + rows * (padded_size(size) + 8)) * 2;
}

// Counts the cast of some rows of a batch and head, from a token on.
DEMI_DEVICE void count_rows(const AttentionOperand& x, const TilePlace& place, int64_t token, int64_t rows,
                            int64_t size, bool in_eights) {
    if (x.lost == nullptr) return;
    LaneCount lost;
    const int64_t units = in_eights ? size / 8 : size, threads = gpu::block_dim().x;
    const int64_t first = row_offset(x, place, token);
    for (int64_t u = gpu::thread_idx().x; u < rows * units; u += threads) {
        const int64_t row = u / units, at = first + row * x.token + (u - row * units) * (in_eights ? 8 : 1);
        if (!in_eights) {
            lost.add(load_one(x.data, at, x.dtype) * x.cast.scale);
            continue;
        }
        float v[8];
        load_some(v, x.data, at, x.dtype);
        DEMI_UNROLL
        for (int j = 0; j < 8; ++j) v[j] *= x.cast.scale;
        lost.add_all(v);
    }
    add_counts(lost, gpu::shared<uint32_t>(), x.lost);
}

// The rows of a tile of queries, and their share of the segment's keys and values.
DEMI_DEVICE void count_operands(const MmaForward& m, const TilePlace& at) {
    const AttentionForward& call = m.call;
    const AttentionSegment& s = *at.segment;
    const int64_t begin = keys_in(s) * at.tile / at.tiles, end = keys_in(s) * (at.tile + 1) / at.tiles;
    count_rows(call.q, at, s.q_begin + at.first, at.rows, call.head_size, m.eights.q);
    count_rows(call.k, at, s.k_begin + begin, end - begin, call.head_size, m.eights.k);
    count_rows(call.v, at, s.k_begin + begin, end - begin, call.value_size, m.eights.v);
}

// ---- scores

// Zeros in place of what is not finite: in a tile that a row must not see, 0 * infinity would be NaN. Says
// so in *found; RowsOut::add_not_finite puts back what was taken.
template <int kSize, bool kBf16>
DEMI_DEVICE void take_out_not_finite(uint16_t* tile, int rows, int64_t size, int* found) {
    constexpr uint32_t kExponent = kBf16 ? 0x7f80u : 0x7c00u;
    for_eights(rows, size, [&](int row, int column) {
        uint16_t* at = tile + row * (kSize + 8) + column;
        gpu::Bytes16 v = gpu::load16(at);
        bool changed = false;
        DEMI_UNROLL
        for (int j = 0; j < 4; ++j) {
            if ((v.w[j] & kExponent) == kExponent) v.w[j] &= 0xffff0000u, changed = true;
            if ((v.w[j] >> 16 & kExponent) == kExponent) v.w[j] &= 0xffffu, changed = true;
        }
        if (!changed) return;
        gpu::store16(at, v);
        *found = 1;
    });
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

// One block for a tile of every batch and head, two threads for a row. shared: as of MmaKernel.
template <template <int, bool, bool> class Kernel, int kSize, bool kMasked, class Call>
void launch_tiles(const AttentionMma<Call>& m, const AttentionTiles& tiles, size_t (*shared)(int64_t, int),
                  Queue queue) {
    const gpu::Dim3 grid{static_cast<unsigned>(m.call.batch * m.call.heads * tiles.count)};
    const gpu::Dim3 block{static_cast<unsigned>(tiles.rows * 2)};
    const size_t bytes = shared(kSize, tiles.rows);
    if (m.bf16)
        gpu::launch(Kernel<kSize, true, kMasked>{m}, grid, block, bytes, queue.stream);
    else
        gpu::launch(Kernel<kSize, false, kMasked>{m}, grid, block, bytes, queue.stream);
}
template <class Call> int64_t padded_size_of(const Call& call) {
    return padded_size(most(call.head_size, call.value_size));
}
// Of the queries, for all sizes.
template <template <int, bool, bool> class Kernel, bool kMasked, size_t (*shared)(int64_t, int), class Call>
void launch_queries(const AttentionMma<Call>& m, Queue queue) {
    const int64_t size = padded_size_of(m.call);
    if (size == 64) return launch_tiles<Kernel, 64, kMasked>(m, m.queries, shared, queue);
    if (size == 128) return launch_tiles<Kernel, 128, kMasked>(m, m.queries, shared, queue);
    if constexpr (kMasked) launch_tiles<Kernel, 256, kMasked>(m, m.queries, shared, queue);
}

}  // namespace demi::gpu_kernels
