#pragma once
// DINOv2's multi-crop: two large crops and several small ones of one picture, each with its own colours.
// View 0 and 1 are the global crops, 2 ... the local ones; every view has its own random stream.
#include <vector>

#include "examples/data/color.h"
#include "examples/data/resample.h"
#include "examples/data/stats.h"

namespace demi::data {

struct MulticropOptions {
    int64_t global_size = 224;
    int64_t local_size = 96;
    int64_t local_crops = 8;
    float global_scale[2] = {0.32f, 1.0f};  // share of the picture's area
    float local_scale[2] = {0.05f, 0.32f};
    float ratio[2] = {0.75f, 4.0f / 3};  // width over height
    bool flip = true;
    bool turn = false;  // by a random number of quarter turns
    Jitter jitter{0.4f, 0.4f, 0.2f, 0.1f};
    float jitter_chance = 0.8f;
    float gray_chance = 0.2f;
    float blur_chance[3] = {1.0f, 0.1f, 0.5f};  // first global, second global, local (the published intent)
    float blur_sigma[2] = {0.1f, 2.0f};         // in pixels
    float solarize_chance = 0.2f;               // second global crop only
    float invert_chance = 0;                    // of every view: the photographic negative
    float solarize_threshold = 128.0f / 255;

    // For pictures of 32 pixels or so: global crops of the full size, local ones of half, blur in proportion,
    // larger shares of the area, so that a local crop still shows something.
    static MulticropOptions small(int64_t image_size, bool flip = true);
};

// Throws where a size, share or chance makes no sense.
void check_options(const MulticropOptions& options);

// A random box with area in `scale` and aspect in `ratio`; after ten vain tries the largest centred one.
Box random_box(int64_t height, int64_t width, const float scale[2], const float ratio[2], KeyedRng& rng);

// One view, normalised, into out [channels, size, size].
void make_view(const Image& image, int64_t view, const MulticropOptions& options, const ChannelStats& stats,
               KeyedRng rng, float* out);

}  // namespace demi::data
