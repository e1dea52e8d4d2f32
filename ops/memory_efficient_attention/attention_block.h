#pragma once
// One block of queries against one tile of keys: which keys it sees, and its scores. Shared by forward and
// backward.
#include "ops/memory_efficient_attention/attention_tiles.h"

namespace demi::DEMI_ISA_NS::attention {

// Keys of one tile, in segment coordinates, with their packed forms.
struct Tile {
    int64_t first = 0, count = 0;
    float* transposed = nullptr;  // K in panels, for Q K^T
};

// Columns of the tile that a block of queries touches: [begin, end), and the whole vectors around them [left,
// right).
struct Span {
    int64_t begin, end, left, right;
    bool full;  // every query of the block sees all of [begin, end)
    bool empty() const { return begin >= end; }
};

DEMI_INLINE Span block_span(const AttentionSegment& seg, int64_t query, int64_t rows, const Tile& tile) {
    Span s;
    s.begin = clamp64(query + seg.low - tile.first, 0, tile.count);
    s.end = clamp64(query + rows - 1 + seg.high - tile.first, s.begin, tile.count);
    s.left = s.begin / kPanel * kPanel;
    s.right = round_up(s.end, kLanes);
    s.full = query + rows - 1 + seg.low - tile.first <= s.begin && query + seg.high - tile.first >= s.end;
    return s;
}

// Columns that one query sees; empty ones begin where they end.
struct RowSpan {
    int64_t begin, end;
};
DEMI_INLINE RowSpan row_span(const AttentionSegment& seg, int64_t query, const Tile& tile,
                             const Span& block) {
    const int64_t begin = clamp64(query + seg.low - tile.first, block.begin, block.end);
    return {begin, clamp64(query + seg.high - tile.first, begin, block.end)};
}

DEMI_INLINE void fill(float* p, int64_t begin, int64_t end, float value) {
    for (int64_t j = begin; j < end; ++j) p[j] = value;
}

// Where one (segment, batch, head) lives.
struct Place {
    const AttentionSegment* segment;
    int64_t batch, head;
    int64_t queries() const { return segment->q_end - segment->q_begin; }
    int64_t keys() const { return segment->k_end - segment->k_begin; }
};

// Rows of q, times scale * log2(e), so that the softmax is a power of two.
DEMI_INLINE bool load_queries(const AttentionProblem& p, const Cut& cut, const Place& at, int64_t query,
                              int64_t rows, float* out) {
    const Rows q = rows_of(p.q, at.batch, at.head, at.segment->q_begin + query);
    return load_rows(q, rows, p.head_size, out, cut.width, p.scale * kLog2E);
}

// scores[r, left..right) = q k^T (+ bias), in units of log2(e). Columns outside of the row's own span hold
// anything finite or not.
DEMI_INLINE void score_block(const AttentionProblem& p, const Cut& cut, const Place& at, int64_t query,
                             int64_t rows, const Tile& tile, const Span& span, const float* queries,
                             float* scores, float* bias_row) {
    multiply(rows, (span.right - span.left) / kLanes, p.head_size, queries, cut.width, 1,
             tile.transposed + span.left * p.head_size, kPanel, kPanel * p.head_size, scores + span.left,
             cut.row);
    if (p.bias.data == nullptr) return;
    const AttentionOperand bias{p.bias.data, p.bias.batch,   p.bias.query,
                                p.bias.head, p.bias.storage, p.bias.cast};
    const int64_t count = span.end - span.left, width = round_up(count, kLanes);
    for (int64_t r = 0; r < rows; ++r) {
        Rows in = rows_of(bias, at.batch, at.head, at.segment->q_begin + query + r);
        in.data += (at.segment->k_begin + tile.first + span.left) * element_size(in.storage);
        load_rows(in, 1, count, bias_row, width, kLog2E);
        float* s = scores + r * cut.row + span.left;
        for (int64_t j = 0; j < width; j += kLanes) storeu(s + j, loadu(s + j) + loadu(bias_row + j));
    }
}

DEMI_INLINE void dropout_row(const AttentionProblem& p, const Place& at, int64_t query, const Tile& tile,
                             RowSpan row, float* factor) {
    p.dropout.fill(p.dropout, at.batch, at.head, at.segment->q_begin + query,
                   at.segment->k_begin + tile.first + row.begin, row.end - row.begin, factor + row.begin);
}

}  // namespace demi::DEMI_ISA_NS::attention
