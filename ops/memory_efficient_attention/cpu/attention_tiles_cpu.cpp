// Products of small blocks.
#include "ops/memory_efficient_attention/cpu/attention_tiles.h"

namespace demi::DEMI_BACKEND::attention {
namespace {

// R rows by V vectors held in registers. Rows are addressed in threes from one pointer each, which keeps the
// number of address registers small for any row stride.
template <int R, int V, bool kAdd>
__attribute__((noinline)) void register_tile(int64_t depth, const float* a, int64_t a_row, int64_t a_column,
                                             const float* b, int64_t b_row, float* c, int64_t c_row) {
    constexpr int kGroups = (R + 2) / 3;
    vf sum[R][V];
    const float* group[kGroups];
#pragma GCC unroll 16
    for (int g = 0; g < kGroups; ++g) group[g] = a + 3 * g * a_row;
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) sum[i][v] = kAdd ? loadu(c + i * c_row + v * kLanes) : zero();
    }
    for (int64_t k = 0; k < depth; ++k) {
        vf column[V];
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) column[v] = loadu(b + v * kLanes);
        b += b_row;
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i) {
            const vf x = broadcast(group[i / 3][(i % 3) * a_row]);
#pragma GCC unroll 2
            for (int v = 0; v < V; ++v) sum[i][v] = fma(x, column[v], sum[i][v]);
        }
#pragma GCC unroll 16
        for (int g = 0; g < kGroups; ++g) group[g] += a_column;
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) storeu(c + i * c_row + v * kLanes, sum[i][v]);
    }
}

template <int... I> struct Ids {};
template <int N, int... I> struct MakeIds : MakeIds<N - 1, N - 1, I...> {};
template <int... I> struct MakeIds<0, I...> { using type = Ids<I...>; };

// Of height h at [h - 1].
using TileFn = void (*)(int64_t, const float*, int64_t, int64_t, const float*, int64_t, float*, int64_t);
template <int... I> DEMI_INLINE const TileFn* tiles(bool add, bool two_vectors, Ids<I...>) {
    static constexpr TileFn table[2][2][kTileRows] = {
        {{register_tile<I + 1, 1, false>...}, {register_tile<I + 1, 2, false>...}},
        {{register_tile<I + 1, 1, true>...}, {register_tile<I + 1, 2, true>...}}};
    return table[add][two_vectors];
}

// kLanes x kLanes transpose: log2(kLanes) times interleave the first half with the second.
template <int... I> DEMI_INLINE vf interleave_low(vf a, vf b, Ids<I...>) {
    return __builtin_shufflevector(a, b, (I / 2 + I % 2 * kLanes)...);
}
template <int... I> DEMI_INLINE vf interleave_high(vf a, vf b, Ids<I...>) {
    return __builtin_shufflevector(a, b, (kLanes / 2 + I / 2 + I % 2 * kLanes)...);
}
DEMI_INLINE void transpose(vf (&r)[kLanes]) {
    const typename MakeIds<kLanes>::type ids;
#pragma GCC unroll 4
    for (int step = 1; step < kLanes; step *= 2) {
        vf s[kLanes];
#pragma GCC unroll 8
        for (int i = 0; i < kLanes / 2; ++i) {
            s[2 * i] = interleave_low(r[i], r[i + kLanes / 2], ids);
            s[2 * i + 1] = interleave_high(r[i], r[i + kLanes / 2], ids);
        }
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) r[i] = s[i];
    }
}

}  // namespace

void pack_transposed(const float* in, int64_t width, int64_t rows, int64_t columns, float* out) {
    for (int64_t first = 0; first < rows; first += kPanel) {
        for (int64_t half = 0; half < kPanel; half += kLanes) {
            const int64_t base = first + half;
            for (int64_t j = 0; j < columns; j += kLanes) {
                vf r[kLanes];
#pragma GCC unroll 16
                for (int i = 0; i < kLanes; ++i)
                    r[i] = base + i < rows ? loadu(in + (base + i) * width + j) : zero();
                transpose(r);
                float* to = out + first * columns + j * kPanel + half;
                const int64_t n = min64(kLanes, columns - j);
                for (int i = 0; i < n; ++i) store(to + i * kPanel, r[i]);
            }
        }
    }
}

void multiply(bool add, int64_t rows, int64_t vectors, int64_t depth, const float* a, int64_t a_row,
              int64_t a_column, const float* b, int64_t b_row, int64_t b_panel, float* c, int64_t c_row) {
    if (rows <= 0) return;
    const int64_t blocks = ceil_div(rows, kTileRows);
    const int64_t small = rows / blocks,
                  larger = rows % blocks;  // blocks of nearly equal height: no thin last one
    for (int64_t v = 0; v < vectors; v += 2) {
        const TileFn* table = tiles(add, v + 2 <= vectors, typename MakeIds<kTileRows>::type());
        const float* panel = b + v / 2 * b_panel;
        int64_t i = 0;
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t height = small + (block < larger ? 1 : 0);
            table[height - 1](depth, a + i * a_row, a_row, a_column, panel, b_row, c + i * c_row + v * kLanes,
                              c_row);
            i += height;
        }
    }
}

void multiply_rows(int64_t rows, int64_t columns, int64_t width, const float* a, int64_t a_row,
                   const float* b, int64_t b_row, float* c, int64_t c_row) {
    for (int64_t j = 0; j < columns; ++j, b += b_row)
        for (int64_t r = 0; r < rows; ++r) {
            vf sum = zero();
            for (int64_t i = 0; i < width; i += kLanes)
                sum = fma(loadu(a + r * a_row + i), loadu(b + i), sum);
            c[r * c_row + j] = hsum(sum);
        }
}

}  // namespace demi::DEMI_BACKEND::attention
