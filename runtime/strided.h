#pragma once
// Internal: strided operands of one shape for kernels. Dimensions of size 1 are gone, and neighbours are merged where every
// operand allows it. C++17: seen by all kernels; strided_of.h makes it from Shapes.
#include "runtime/parallel.h"

namespace demi {

template <int N> struct Strided {
    static constexpr int kMaxRank = 8;  // as many dimensions as a Shape has
    int rank;                           // at least 1
    int64_t count;
    int64_t sizes[kMaxRank];
    int64_t strides[N][kMaxRank];  // elements
};

template <int N> struct Offsets { int64_t at[N]; };

// Where element `index` (in logical order) of every operand lies.
template <int N> DEMI_HOST_DEVICE Offsets<N> offsets_of(const Strided<N>& s, int64_t index) {
    Offsets<N> out{};
    for (int i = s.rank - 1; i > 0; --i) {
        const int64_t size = s.sizes[i];
        int64_t at, rest;
        if (((index | size) >> 32) == 0) {  // 32-bit division is several times faster
            rest = static_cast<uint32_t>(index) / static_cast<uint32_t>(size);
            at = index - rest * size;
        } else {
            rest = index / size;
            at = index - rest * size;
        }
        index = rest;
        for (int n = 0; n < N; ++n) out.at[n] += at * s.strides[n][i];
    }
    for (int n = 0; n < N; ++n) out.at[n] += index * s.strides[n][0];
    return out;
}

// Rows in tiles of about `grain` elements: a long row is cut into pieces, short ones are bundled.
struct RowPieces {
    int64_t rows, width, grain, pieces, bundle, count;

    DEMI_INLINE RowPieces(int64_t rows_, int64_t width_, int64_t grain_)
        : rows(rows_), width(width_), grain(grain_), pieces(ceil_div(width_, grain_)),
          bundle(width_ > 0 && width_ < grain_ ? grain_ / width_ : 1),
          count(ceil_div(rows_, bundle) * pieces) {}

    // fn(tile, row, end, begin, n) for all tiles: elements [begin, begin + n) of rows [row, end).
    template <class F> DEMI_INLINE void for_each(const F& fn) const {
        parallel_for(count, [&](int64_t tile) {
            const int64_t row = tile / pieces * bundle, begin = tile % pieces * grain;
            fn(tile, row, rows - row < bundle ? rows : row + bundle, begin,
               width - begin < grain ? width - begin : grain);
        });
    }
};

// On the CPU, in parallel: fn(where row r starts, its elements) for the innermost dimension, cut into rows of bounded length.
template <int N, class F> DEMI_INLINE void for_each_row(const Strided<N>& s, const F& fn) {
    if (s.count == 0) return;
    const int64_t inner = s.sizes[s.rank - 1];
    RowPieces(s.count / inner, inner, 32768)
        .for_each([&](int64_t, int64_t row, int64_t end, int64_t begin, int64_t n) {
            for (; row < end; ++row) fn(offsets_of(s, row * inner + begin), n);
        });
}

}  // namespace demi
