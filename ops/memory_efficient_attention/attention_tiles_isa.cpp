#include "ops/memory_efficient_attention/attention_tiles.h"

namespace demi::DEMI_ISA_NS::attention {
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

using TileFn = void (*)(int64_t, const float*, int64_t, int64_t, const float*, int64_t, float*, int64_t);

template <int V, bool kAdd> struct TileTable { TileFn fn[15]; };
template <int V, bool kAdd> constexpr TileTable<V, kAdd> make_table() {
    TileTable<V, kAdd> t{};
    t.fn[1] = register_tile<1, V, kAdd>;
    t.fn[2] = register_tile<2, V, kAdd>;
    t.fn[3] = register_tile<3, V, kAdd>;
    t.fn[4] = register_tile<4, V, kAdd>;
    t.fn[5] = register_tile<5, V, kAdd>;
    t.fn[6] = register_tile<6, V, kAdd>;
    if constexpr (kTileRows == 14) {
        t.fn[7] = register_tile<7, V, kAdd>;
        t.fn[8] = register_tile<8, V, kAdd>;
        t.fn[9] = register_tile<9, V, kAdd>;
        t.fn[10] = register_tile<10, V, kAdd>;
        t.fn[11] = register_tile<11, V, kAdd>;
        t.fn[12] = register_tile<12, V, kAdd>;
        t.fn[13] = register_tile<13, V, kAdd>;
        t.fn[14] = register_tile<14, V, kAdd>;
    }
    return t;
}
template <int V, bool kAdd> constexpr TileTable<V, kAdd> kTiles = make_table<V, kAdd>();

template <bool kAdd>
DEMI_INLINE void product(int64_t rows, int64_t vectors, int64_t depth, const float* a, int64_t a_row,
                         int64_t a_column, const float* b, int64_t b_row, int64_t b_panel, float* c,
                         int64_t c_row) {
    if (rows <= 0) return;
    const int64_t blocks = (rows + kTileRows - 1) / kTileRows;
    const int64_t small = rows / blocks,
                  larger = rows % blocks;  // blocks of nearly equal height: no thin last one
    for (int64_t v = 0; v < vectors; v += 2) {
        const TileFn* table = v + 2 <= vectors ? kTiles<2, kAdd>.fn : kTiles<1, kAdd>.fn;
        const float* panel = b + v / 2 * b_panel;
        int64_t i = 0;
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t height = small + (block < larger ? 1 : 0);
            table[height](depth, a + i * a_row, a_row, a_column, panel, b_row, c + i * c_row + v * kLanes,
                          c_row);
            i += height;
        }
    }
}

// kLanes x kLanes transpose: log2(kLanes) times interleave the first half with the second.
template <int... I> struct Lanes {};
template <int N, int... I> struct MakeLanes : MakeLanes<N - 1, N - 1, I...> {};
template <int... I> struct MakeLanes<0, I...> { using type = Lanes<I...>; };
template <int... I> DEMI_INLINE vf interleave_low(vf a, vf b, Lanes<I...>) {
    return __builtin_shufflevector(a, b, (I / 2 + I % 2 * kLanes)...);
}
template <int... I> DEMI_INLINE vf interleave_high(vf a, vf b, Lanes<I...>) {
    return __builtin_shufflevector(a, b, (kLanes / 2 + I / 2 + I % 2 * kLanes)...);
}
DEMI_INLINE void transpose(vf (&r)[kLanes]) {
    using Ids = typename MakeLanes<kLanes>::type;
#pragma GCC unroll 4
    for (int step = 1; step < kLanes; step *= 2) {
        vf s[kLanes];
#pragma GCC unroll 8
        for (int i = 0; i < kLanes / 2; ++i) {
            s[2 * i] = interleave_low(r[i], r[i + kLanes / 2], Ids{});
            s[2 * i + 1] = interleave_high(r[i], r[i + kLanes / 2], Ids{});
        }
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) r[i] = s[i];
    }
}

constexpr float kLargestHalf = 65504.f;

DEMI_INLINE vf through_f16(vf x, const Cast& cast) {
    if (!cast.round) return x;
    // NaN comes through: max and min give their second operand.
    return round_f16(cast.saturate ? max(broadcast(-kLargestHalf), min(broadcast(kLargestHalf), x)) : x);
}

// Rows of one head are far apart, often a page each: the processor does not foresee them.
template <class T>
DEMI_INLINE void prefetch_row(const T* in, int64_t stride, int64_t row, int64_t rows, int64_t columns) {
    constexpr int64_t kAhead = 8;
    if (row + kAhead >= rows) return;
    const char* p = reinterpret_cast<const char*>(in + (row + kAhead) * stride);
    const int64_t bytes = columns * static_cast<int64_t>(sizeof(T));
    for (int64_t j = 0; j < bytes; j += 64) __builtin_prefetch(p + j);
}

template <class T>
bool load_rows_of(const Rows& in, int64_t rows, int64_t columns, float* out, int64_t width, float factor) {
    const T* data = reinterpret_cast<const T*>(in.data);
    const Cast cast = in.cast;
    const vf before = broadcast(cast.scale), after = broadcast(cast.undo * factor);
    const int64_t whole = columns / kLanes * kLanes;
    const int rest = static_cast<int>(columns - whole);
    vf bad = zero();  // 0 * x is 0 for every finite x and NaN for the others
    for (int64_t i = 0; i < rows; ++i) {
        const T* row = data + i * in.stride;
        float* to = out + i * width;
        prefetch_row(data, in.stride, i, rows, columns);
        for (int64_t j = 0; j < whole; j += kLanes) {
            const vf x = through_f16(loadu(row + j) * before, cast) * after;
            bad = fma(x, zero(), bad);
            storeu(to + j, x);
        }
        if (rest != 0) {
            const vf x = through_f16(load_n(row + whole, rest) * before, cast) * after;
            bad = fma(x, zero(), bad);
            storeu(to + whole, x);
        }
    }
    return !any(mask_not(equal(bad, bad)));
}

template <class T>
void store_row_of(T* out, const Cast& cast, const float* in, int64_t columns, float factor) {
    const vf times = broadcast(factor), before = broadcast(cast.scale), after = broadcast(cast.undo);
    const int64_t whole = columns / kLanes * kLanes;
    const int rest = static_cast<int>(columns - whole);
    for (int64_t j = 0; j < whole; j += kLanes)
        storeu(out + j, through_f16(loadu(in + j) * times * before, cast) * after);
    if (rest != 0)
        store_n(out + whole, through_f16(load_n(in + whole, rest) * times * before, cast) * after, rest);
}

// What happened to the values of one row, counted in the lanes of vectors.
template <class T>
void count_row(const T* row, int64_t columns, vf times, vf before, CastCounters* counters) {
    const vf one = broadcast(1.f), tiny = broadcast(0x1p-25f), large = broadcast(65520.f);
    const vf normal = broadcast(0x1p-14f - 0x1p-25f);  // from here on, a value rounds to a normal number
    vf nan = zero(), to_inf = zero(), to_zero = zero(), subnormal = zero(), top = zero();
    for (int64_t j = 0; j < columns; j += kLanes) {
        const int n = static_cast<int>(min64(kLanes, columns - j));
        const vf size = abs((n == kLanes ? loadu(row + j) : load_n(row + j, n)) * times * before);
        nan = nan + select(equal(size, size), zero(), one);
        to_inf = to_inf + select(less_equal(large, size), one, zero());
        to_zero = to_zero + select(mask_and(less(zero(), size), less_equal(size, tiny)), one, zero());
        subnormal = subnormal + select(mask_and(less(tiny, size), less(size, normal)), one, zero());
        top = max(size, top);  // NaN leaves it
    }
    counters->nan += static_cast<int64_t>(hsum(nan));
    counters->to_inf += static_cast<int64_t>(hsum(to_inf));
    counters->to_zero += static_cast<int64_t>(hsum(to_zero));
    counters->subnormal += static_cast<int64_t>(hsum(subnormal));
    const float highest = hmax(top);
    if (highest > counters->amax) counters->amax = highest;
}

// Only the smallest and the largest value of a row are looked at; where they are ordinary, nothing was lost.
template <class T>
void count_rows_of(const T* in, int64_t stride, int64_t rows, int64_t columns, float factor, float scale,
                   CastCounters* counters) {
    const vf times = broadcast(factor), before = broadcast(scale), one = broadcast(1.f);
    const int64_t whole = columns / kLanes * kLanes;
    const int rest = static_cast<int>(columns - whole);
    vf top = zero();
    for (int64_t i = 0; i < rows; ++i) {
        const T* row = in + i * stride;
        prefetch_row(in, stride, i, rows, columns);
        vf low = one, high = zero(), bad = zero();
        for (int64_t j = 0; j < whole; j += kLanes) {
            const vf size = abs(loadu(row + j) * times * before);
            low = min(size, low);
            high = max(size, high);
            bad = fma(size, zero(), bad);
        }
        if (rest != 0) {
            const vf size = abs(load_n(row + whole, rest) * times * before);
            low = min(select(first_lanes(rest), size, one), low);
            high = max(size, high);
            bad = fma(size, zero(), bad);
        }
        const vm ordinary = mask_and(
            mask_and(less_equal(broadcast(0x1p-14f), low), less(high, broadcast(65520.f))), equal(bad, bad));
        if (any(mask_not(ordinary)))
            count_row(row, columns, times, before, counters);
        else
            top = max(top, high);
    }
    const float highest = hmax(top);
    if (highest > counters->amax) counters->amax = highest;
    counters->elements += rows * columns;
}

}  // namespace

bool load_rows(const Rows& in, int64_t rows, int64_t columns, float* out, int64_t width, float factor) {
    for (int64_t i = 0; columns % kLanes != 0 && i < rows; ++i)
        storeu(out + (i + 1) * width - kLanes, zero());
    if (in.storage == Storage::f16) return load_rows_of<f16_t>(in, rows, columns, out, width, factor);
    if (in.storage == Storage::bf16) return load_rows_of<bf16_t>(in, rows, columns, out, width, factor);
    return load_rows_of<float>(in, rows, columns, out, width, factor);
}

void store_row(const ResultRows& out, int64_t row, const float* in, int64_t columns, float factor,
               CastCounters* counters) {
    if (out.cast.count && counters != nullptr)
        count_rows_of(in, 0, 1, columns, factor, out.cast.scale, counters);
    char* to = out.data + row * out.stride * element_size(out.storage);
    if (out.storage == Storage::f16)
        return store_row_of(reinterpret_cast<f16_t*>(to), out.cast, in, columns, factor);
    if (out.storage == Storage::bf16)
        return store_row_of(reinterpret_cast<bf16_t*>(to), out.cast, in, columns, factor);
    store_row_of(reinterpret_cast<float*>(to), out.cast, in, columns, factor);
}

void count_rows(const Rows& in, int64_t rows, int64_t columns, CastCounters* counters) {
    if (!in.cast.count || counters == nullptr) return;
    const float scale = in.cast.scale;
    switch (in.storage) {
    case Storage::f16:
        return count_rows_of(reinterpret_cast<const f16_t*>(in.data), in.stride, rows, columns, 1.f, scale,
                             counters);
    case Storage::bf16:
        return count_rows_of(reinterpret_cast<const bf16_t*>(in.data), in.stride, rows, columns, 1.f, scale,
                             counters);
    case Storage::f32:
        return count_rows_of(reinterpret_cast<const float*>(in.data), in.stride, rows, columns, 1.f, scale,
                             counters);
    }
}

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

void multiply_add(int64_t rows, int64_t vectors, int64_t depth, const float* a, int64_t a_row,
                  int64_t a_column, const float* b, int64_t b_row, int64_t b_panel, float* c, int64_t c_row) {
    product<true>(rows, vectors, depth, a, a_row, a_column, b, b_row, b_panel, c, c_row);
}

void multiply(int64_t rows, int64_t vectors, int64_t depth, const float* a, int64_t a_row, int64_t a_column,
              const float* b, int64_t b_row, int64_t b_panel, float* c, int64_t c_row) {
    product<false>(rows, vectors, depth, a, a_row, a_column, b, b_row, b_panel, c, c_row);
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

}  // namespace demi::DEMI_ISA_NS::attention
