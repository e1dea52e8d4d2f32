#pragma once
// Internal, for .cu files: matrices cut into tiles for blocks of threads, from shapes only; and sorted lists of row numbers.
#include "runtime/backends.h"
#include "runtime/cuda/gpu.h"

namespace demi::gpu_kernels {

// Tiles of some rows by some columns, about 2048 elements, or 8192 where there is enough to do.
struct RowTiles {
    int64_t rows = 0, columns = 0;
    int64_t pieces = 0, tiles = 0;  // tiles in a row of tiles; all of them
    int32_t tile_rows = 0, tile_columns = 0;
};
constexpr int kMostTileRows = 256;

struct RowTile {
    int64_t row, column;
    int rows, columns;
};

inline RowTiles make_row_tiles(int64_t rows, int64_t columns) {
    RowTiles t{rows, columns, 0, 0, 0, 0};
    if (rows == 0 || columns == 0) return t;
    const int64_t size = rows * columns >= (int64_t{4} << 20) ? 8192 : 2048;
    const int64_t most = size / columns < kMostTileRows ? size / columns : kMostTileRows;
    t.tile_rows = static_cast<int32_t>(most > 1 ? most : 1);
    t.tile_columns = static_cast<int32_t>(columns < size ? columns : size);
    t.pieces = (columns + t.tile_columns - 1) / t.tile_columns;
    t.tiles = (rows + t.tile_rows - 1) / t.tile_rows * t.pieces;
    return t;
}

DEMI_HOST_DEVICE RowTile tile_at(const RowTiles& t, int64_t tile) {
    const int64_t row = tile / t.pieces * t.tile_rows, column = tile % t.pieces * t.tile_columns;
    const int64_t rows = t.rows - row < t.tile_rows ? t.rows - row : t.tile_rows;
    const int64_t columns = t.columns - column < t.tile_columns ? t.columns - column : t.tile_columns;
    return {row, column, static_cast<int>(rows), static_cast<int>(columns)};
}

// A list of row numbers in rising order, and where each stood; equal ones in the order of the list.
struct SortedRows {
    const int64_t* rows = nullptr;
    const int64_t* places = nullptr;
    int64_t count = 0;
    const int64_t* first = nullptr;  // what find() gives, for every row and one more; null: they are many

    // The first entry that is not below `row`.
    DEMI_DEVICE int64_t find(int64_t row) const {
        if (first != nullptr) return first[row];
        return gpu::first_true(count, [&](int64_t i) { return rows[i] >= row; });
    }
};

// Sorts a list of `count` numbers below `bins`, in memory for sorted_rows_words(count, bins) numbers. Each
// element counts what comes before it: one launch, always the same result, and fast for the lengths that
// lists of rows have (up to some 100,000).
int64_t sorted_rows_words(int64_t count, int64_t bins);
SortedRows sort_rows(const int64_t* list, int64_t count, int64_t bins, int64_t* memory, Queue queue);

}  // namespace demi::gpu_kernels
