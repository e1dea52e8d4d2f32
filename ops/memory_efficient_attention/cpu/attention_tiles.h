#pragma once
// Internal: the building blocks of attention on the CPU: products of small blocks, loading rows (conversion,
// rounding, scaling) and storing them. Everything in between is f32 and does not know the element type.
#include "ops/boundary/boundary_cpu.h"
#include "ops/memory_efficient_attention/attention_kernels.h"
#include "ops/rows/rows_cpu.h"

namespace demi::DEMI_BACKEND::attention {

constexpr int kPanel = 2 * kLanes;  // columns of a packed panel
constexpr int kTileRows =
    kRegisters == 32 ? 14 : 6;  // rows of a register tile: the accumulators fill the registers

DEMI_INLINE int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
DEMI_INLINE int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
DEMI_INLINE int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
DEMI_INLINE int64_t clamp64(int64_t x, int64_t low, int64_t high) { return min64(max64(x, low), high); }

// x from a batch, head, token and column on; without data it stays so. Rows are x.token elements apart.
template <class Data, class At>
AttentionRows<Data> rows_of(AttentionRows<Data> x, const At& at, int64_t token, int64_t column = 0) {
    const int64_t first = at.batch * x.batch + at.head * x.head + token * x.token + column;
    if (x.data != nullptr)
        x.data = const_cast<char*>(static_cast<const char*>(x.data)) +
                 first * static_cast<int64_t>(size_of(x.dtype));
    return x;
}

// Asks for a row.
template <class Data> DEMI_INLINE void fetch_row(const AttentionRows<Data>& x, int64_t row, int64_t columns) {
    const int64_t size = static_cast<int64_t>(size_of(x.dtype));
    const char* p = static_cast<const char*>(x.data) + row * x.token * size;
    for (int64_t j = 0; x.data != nullptr && j < columns * size; j += 64) __builtin_prefetch(p + j, 0, 2);
}

// out[i * width..] = cast(row i) * factor in f32, in whole vectors, zero from `columns` on. Returns false when a value is
// infinite or NaN. Counts nothing: rows are loaded more than once.
bool load_rows(const AttentionOperand& in, int64_t rows, int64_t columns, float* out, int64_t width,
               float factor = 1.f);

// The transpose in panels of kPanel rows: out[panel][column][row in panel]; missing rows
// of the last panel are zero.
void pack_transposed(const float* in, int64_t width, int64_t rows, int64_t columns, float* out);

// Row `row` of the result = cast(in * factor), counted unless `lost` is null.
void store_row(const AttentionResult& out, int64_t row, const float* in, int64_t columns, float factor,
               CastCounters* lost);

// Whether every in[i] * factor is a finite number.
DEMI_INLINE bool is_finite_row(const float* in, int64_t columns, float factor) {
    const vf times = broadcast(factor);
    AllFinite<float> finite;
    for_lanes<float>(columns, [&] DEMI_LANES { finite.add(get(in + i, n) * times); });
    return finite.good();
}
DEMI_INLINE void scale_row(float* row, int64_t columns, float factor) {
    for (int64_t j = 0; j < columns; ++j) row[j] *= factor;
}

// Counts what the cast does to the rows, unless `lost` is null.
void count_rows(const AttentionOperand& in, int64_t rows, int64_t columns, CastCounters* lost);

// Dropout's factors of the keys key.. of one query: 0 where the weight is dropped, 1 / (1 - p) where it
// is kept.
void dropout_factors(const AttentionCall& c, int64_t batch, int64_t head, int64_t query, int64_t key,
                     int64_t n, float* factor);

// C[rows, vectors * kLanes] = A B (+ C where `add`), with A(i, k) = a[i * row + k * column], B's rows `b_row` apart and
// B's panels of kPanel columns `b_panel` apart. Each element is one chain over k in order, whatever the blocking.
void multiply(bool add, int64_t rows, int64_t vectors, int64_t depth, const float* a, int64_t a_row,
              int64_t a_column, const float* b, int64_t b_row, int64_t b_panel, float* c, int64_t c_row);

// c[r, j] = the sum over [0, width) of row r of a times row j of b: a few columns that would leave most lanes
// of a vector empty. `width` is a whole number of vectors.
void multiply_rows(int64_t rows, int64_t columns, int64_t width, const float* a, int64_t a_row,
                   const float* b, int64_t b_row, float* c, int64_t c_row);
constexpr int64_t kFewColumns = kLanes * 3 / 16;

constexpr float kLog2E = 1.44269504f;
constexpr float kLn2 = 0.693147182f;

// 2^x for x <= 127: 1e-7; exactly 0 below 2^-126 and for -infinity; NaN stays NaN.
DEMI_INLINE vf exp2_softmax(vf x) {
    constexpr float c[] = {
        1.f, 0.693147182f, 0.240226477f, 0.0555033237f, 0.00961843692f, 0.00133988739f, 0.00015353362f};
    const vf low = broadcast(-126.f);
    const vf bounded = max(low, x);  // NaN comes through: max gives its second operand
    const vf n = round_to_whole(bounded);
    const vf y = scale_by_power(polynomial(bounded - n, c), n);
    return select(less(x, low), zero(), y);
}

// How a call is cut, from shapes only.
struct TileSizes {
    int64_t width;        // head_size in whole vectors
    int64_t value_width;  // value_size in whole vectors
    int64_t keys;         // keys in one tile, whole panels
    int64_t queries;      // queries in one block
    int64_t row;          // floats from row to row of a block of scores
};
DEMI_INLINE TileSizes tile_sizes(const AttentionCall& c, int64_t keys, int64_t key_limit,
                                 int64_t query_limit) {
    const int64_t size = max64(c.head_size, c.value_size);
    const int64_t limit = clamp64(key_limit * 64 / size, 2 * kPanel, key_limit);
    const int64_t tiles = max64(1, (keys + limit - 1) / limit);
    TileSizes cut;
    cut.width = round_up(c.head_size, kLanes);
    cut.value_width = round_up(c.value_size, kLanes);
    cut.keys = round_up((keys + tiles - 1) / tiles, kPanel);
    cut.queries = query_limit;
    cut.row = cut.keys + kLanes;  // off the power of two, so that a column does not fall on one cache set
    return cut;
}

// Hands out aligned pieces of memory; without memory it only counts the floats.
struct Arena {
    float* memory = nullptr;
    int64_t used = 0;
    float* take(int64_t floats) {
        float* p = memory == nullptr ? nullptr : memory + used;
        used += round_up(floats, 16);
        return p;
    }
};

}  // namespace demi::DEMI_BACKEND::attention
