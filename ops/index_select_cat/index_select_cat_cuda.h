#pragma once
// Internal: index_select_cat's kernels, one launch for all sources.
#include "ops/boundary/boundary_cuda.h"
#include "ops/index/row_tiles_cuda.h"

namespace demi::gpu_kernels {

// One source on its way into y, or one gradient out of dy. Offsets and strides count elements.
struct SelectPart {
    RowTiles tiles;          // of y's part (forward), of the gradient (backward)
    int64_t first_tile;      // of all parts' tiles
    int64_t begin;           // of the part of y, or dy
    int64_t row_step, step;  // forward: of the source
    const void* source;      // forward
    const int64_t* list;     // forward
    SortedRows uses;         // backward
    void* grad;              // backward
    Cast cast;               // forward
    Storage storage;         // of the source, or the gradient
    bool keep;               // forward: bits are copied
    bool wide;               // sixteen bytes at a time
};

constexpr int kSelectParts = 16;  // as many travel as launch parameters; more come in a table on the device
struct SelectParts {
    int64_t count, tiles;
    const SelectPart* table;  // null: here
    SelectPart here[kSelectParts];
};

struct SelectForward {
    void* y;
    Storage to;
    int element_size;  // of y
    CastSums* sums;    // null: nobody counts
};
// `alike`: all parts are wide, and either all are kept or all come from the storage `from` and are cast.
struct SelectAlike {
    bool alike = false, keep = false;
    Storage from = Storage::f32;
};
void launch_select(const SelectForward& call, const SelectParts& parts, SelectAlike how, gpu::Stream stream);

struct SelectBackward {
    const void* dy;
    int64_t step;
    Storage from;
    bool f64;
    Cast entry, exit;
    CastSums *entered, *left;  // null: nobody counts
};
// `alike`: all gradients are wide and of dy's storage.
void launch_select_backward(const SelectBackward& call, const SelectParts& parts, bool alike,
                            gpu::Stream stream);

}  // namespace demi::gpu_kernels
