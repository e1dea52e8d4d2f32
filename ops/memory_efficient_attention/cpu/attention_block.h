#pragma once
// One block of queries against one tile of keys: which keys it sees, and its scores.
// Shared by forward and backward.
#include "ops/memory_efficient_attention/cpu/attention_tasks.h"

namespace demi::DEMI_BACKEND::attention {

// Keys of one tile, in segment coordinates, with their packed forms.
struct Tile {
    int64_t first = 0, count = 0;
    float* transposed = nullptr;  // K in panels, for Q K^T
    const float* rows = nullptr;  // K's rows
};

// Columns of the tile that a block of queries touches: [begin, end), and the whole vectors
// around them [left, right).
struct Columns {
    int64_t begin, end, left, right;
    bool all_seen;  // every query of the block sees all of [begin, end)
    bool empty() const { return begin >= end; }
};

DEMI_INLINE Columns columns_of(const AttentionSegment& seg, int64_t query, int64_t rows, const Tile& tile) {
    Columns s;
    s.begin = clamp64(query + seg.low - tile.first, 0, tile.count);
    s.end = clamp64(query + rows - 1 + seg.high - tile.first, s.begin, tile.count);
    s.left = s.begin / kPanel * kPanel;
    s.right = round_up(s.end, kLanes);
    s.all_seen = query + rows - 1 + seg.low - tile.first <= s.begin && query + seg.high - tile.first >= s.end;
    return s;
}

// The last columns of a block that sees all keys to the tile's end, where those are few beyond whole vectors.
DEMI_INLINE int64_t few_columns(const Columns& columns, const Tile& tile) {
    const int64_t rest = columns.end % kLanes;
    return columns.all_seen && columns.end == tile.count && rest <= kFewColumns ? rest : 0;
}

// Columns that one query sees; empty ones begin where they end.
struct SeenColumns {
    int64_t begin, end;
};
DEMI_INLINE SeenColumns seen_by(const AttentionSegment& seg, int64_t query, const Tile& tile,
                                const Columns& block) {
    const int64_t begin = clamp64(query + seg.low - tile.first, block.begin, block.end);
    return {begin, clamp64(query + seg.high - tile.first, begin, block.end)};
}

DEMI_INLINE void fill(float* p, int64_t begin, int64_t end, float value) {
    for (int64_t j = begin; j < end; ++j) p[j] = value;
}

// Gives what a row holds outside of what its query sees, in [left, right) of the block, the same value. In
// whole vectors: a vector that is loaded after parts of it were stored waits for those.
DEMI_INLINE void fill_outside(float* p, const Columns& block, SeenColumns row, float value) {
    const vf outside = broadcast(value);
    int64_t j = block.left;
    for (; j + kLanes <= row.begin; j += kLanes) storeu(p + j, outside);
    if (j < row.begin)
        storeu(p + j, select(first_lanes(static_cast<int>(row.begin - j)), outside, loadu(p + j)));
    j = row.end / kLanes * kLanes;
    if (j < row.end && j < block.right) {
        storeu(p + j, select(first_lanes(static_cast<int>(row.end - j)), loadu(p + j), outside));
        j += kLanes;
    }
    for (; j < block.right; j += kLanes) storeu(p + j, outside);
}

// One (segment, batch, head).
struct Place {
    const AttentionSegment* segment;
    int64_t batch, head;
    int64_t queries() const { return segment->q_end - segment->q_begin; }
    int64_t keys() const { return segment->k_end - segment->k_begin; }
};

// The row of the gradient of the bias that a query adds to.
DEMI_INLINE int64_t grad_bias_row(const AttentionCall& c, int64_t batch, int64_t head, int64_t query) {
    const int64_t slice =
        (c.bias.sum_batch ? 0 : batch) * (c.bias.sum_head ? 1 : c.heads) + (c.bias.sum_head ? 0 : head);
    return c.bias.sum_query ? slice : slice * c.queries + query;
}

// Rows of q, times scale * log2(e), so that the softmax is a power of two.
DEMI_INLINE bool load_queries(const AttentionCall& call, const TileSizes& cut, const Place& at, int64_t query,
                              int64_t rows, float* out) {
    const InRows q = rows_of(call.q, at.batch, at.head, at.segment->q_begin + query);
    return load_rows(q, rows, call.head_size, out, cut.width, call.scale * kLog2E);
}

// out[r, left..right) = row r of a times every key's row of b: `panels` holds b transposed, its last
// rows end at `rows_end`. What a few keys beyond whole vectors give comes from those: a vector of their
// own would be mostly empty.
DEMI_INLINE void against_keys(int64_t rows, const Columns& columns, const Tile& tile, int64_t depth,
                              const float* a, int64_t width, const float* panels, const float* rows_end,
                              float* out, int64_t out_row) {
    const int64_t few = few_columns(columns, tile);
    multiply(false, rows, (columns.right - columns.left) / kLanes - (few > 0), depth, a, width, 1,
             panels + columns.left * depth, kPanel, kPanel * depth, out + columns.left, out_row);
    multiply_rows(rows, few, width, a, width, rows_end - few * width, width, out + columns.end - few,
                  out_row);
}

// scores[r, left..right) = q k^T (+ bias), in units of log2(e). Columns outside of the row's own span hold
// anything finite or not.
DEMI_INLINE void score_block(const AttentionCall& call, const TileSizes& cut, const Place& at, int64_t query,
                             int64_t rows, const Tile& tile, const Columns& columns, const float* queries,
                             float* scores, float* bias_row) {
    against_keys(rows, columns, tile, call.head_size, queries, cut.width, tile.transposed,
                 tile.rows + tile.count * cut.width, scores, cut.row);
    if (call.bias.data == nullptr) return;
    const int64_t count = columns.end - columns.left, width = round_up(count, kLanes);
    for (int64_t r = 0; r < rows; ++r) {
        if (r == 0 || call.bias.token != 0) {
            InRows in = rows_of(call.bias, at.batch, at.head, at.segment->q_begin + query + r);
            in.data +=
                (at.segment->k_begin + tile.first + columns.left) * call.bias.key * element_size(in.dtype);
            load_rows(in, 1, call.bias.key != 0 ? count : 1, bias_row, width, kLog2E);
            if (call.bias.key == 0) fill(bias_row, 1, count, bias_row[0]);
        }
        float* s = scores + r * cut.row + columns.left;
        for (int64_t j = 0; j < width; j += kLanes) storeu(s + j, loadu(s + j) + loadu(bias_row + j));
    }
}

// sum[r, :] += the sum over keys of a[r, key] * b[key, :]. 0 * infinity is NaN: where b is not finite, a row must not even
// touch the keys that it does not see.
DEMI_INLINE void add_to_queries(const TileSizes& cut, const Place& at, int64_t query, int64_t rows,
                                const Tile& tile, const Columns& columns, bool finite, const float* a,
                                const float* b, int64_t width, float* sum) {
    const int64_t together = finite || columns.all_seen ? rows : 1;
    for (int64_t r = 0; r < rows; r += together) {
        const SeenColumns row = together == rows ? SeenColumns{columns.begin, columns.end}
                                                 : seen_by(*at.segment, query + r, tile, columns);
        multiply(true, together, width / kLanes, row.end - row.begin, a + r * cut.row + row.begin, cut.row, 1,
                 b + row.begin * width, width, kPanel, sum + r * width, width);
    }
}

DEMI_INLINE void fetch_bytes(const char* p, int64_t bytes) {
    for (int64_t j = 0; j < bytes; j += 64) __builtin_prefetch(p + j, 0, 2);
}

// Asks for a row that will be stored.
DEMI_INLINE void fetch_result(const OutRows& out, int64_t row, int64_t columns) {
    const int64_t size = element_size(out.dtype);
    if (out.data != nullptr) fetch_bytes(out.data + row * out.stride * size, columns * size);
}

// The rows of the task that this thread runs next, fetched little by little while the processor calculates.
// Heads lie interleaved in memory, so without it every task begins by waiting.
struct Upcoming {
    static constexpr int kOperands = 4;
    InRows rows[kOperands];
    int64_t count[kOperands] = {}, bytes[kOperands] = {};

    void add(int i, const AttentionOperand& x, const Task& task, int64_t token, int64_t tokens,
             int64_t columns) {
        rows[i] = rows_of(x, task.batch, task.head, token);
        count[i] = tokens;
        bytes[i] = columns * element_size(x.dtype);
    }
    DEMI_INLINE void fetch(int64_t row) const {
#pragma GCC unroll 4
        for (int i = 0; i < kOperands; ++i) {
            if (row >= count[i]) continue;
            fetch_bytes(rows[i].data + row * rows[i].stride * element_size(rows[i].dtype), bytes[i]);
        }
    }
};

// What the next task loads first: its queries, keys and values, and (backward) grad_out. Nothing where that
// is more than a cache holds.
DEMI_INLINE Upcoming upcoming(const AttentionCall& call, const Task* next, const AttentionOperand* grad_out) {
    Upcoming u;
    if (next == nullptr) return u;
    const AttentionSegment& seg = call.segments[next->segment];
    const int64_t queries = next->q_end - next->q_begin, keys = seg.k_end - seg.k_begin;
    if ((queries + keys) * (call.head_size + call.value_size) > 100000) return u;
    const int64_t q = seg.q_begin + next->q_begin;
    u.add(0, call.q, *next, q, queries, call.head_size);
    u.add(1, call.k, *next, seg.k_begin, keys, call.head_size);
    u.add(2, call.v, *next, seg.k_begin, keys, call.value_size);
    if (grad_out != nullptr) u.add(3, *grad_out, *next, q, queries, call.value_size);
    return u;
}

DEMI_INLINE void dropout_row(const AttentionCall& call, const Place& at, int64_t query, const Tile& tile,
                             SeenColumns row, float* factor) {
    dropout_factors(call, at.batch, at.head, at.segment->q_begin + query,
                    at.segment->k_begin + tile.first + row.begin, row.end - row.begin, factor + row.begin);
}

}  // namespace demi::DEMI_BACKEND::attention
