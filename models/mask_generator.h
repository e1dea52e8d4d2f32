#pragma once
// Block-wise masks for iBOT (dinov2/data/masking.py and collate.py).
#include <vector>

#include "runtime/random.h"

namespace demi {

struct MaskOptions {
    double probability = 0.5;                 // share of the images that get a mask
    double ratio_min = 0.1, ratio_max = 0.5;  // masked share of such an image, spread evenly over the batch
    int64_t min_patches = 4;                  // smallest rectangle
    double min_aspect = 0.3;                  // of rectangles; the largest is its inverse
};

// One mask of height x width patches with at most `quota` of them set: random rectangles until the quota is
// met or ten tries in a row fail.
std::vector<uint8_t> block_mask(int64_t height, int64_t width, int64_t quota, const MaskOptions& options,
                                Generator& generator);

// Masks for a batch, in random order: bool [images, height * width].
Tensor block_masks(int64_t images, int64_t height, int64_t width, const MaskOptions& options,
                   Generator& generator);

// Flat positions of the true entries: i64 [n].
Tensor masked_positions(const Tensor& masks);
// For each of them 1 / (true entries of its row): f32 [n].
Tensor mask_weights(const Tensor& masks);

}  // namespace demi
