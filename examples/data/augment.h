#pragma once
// Supervised augmentation: a shifted crop (the border is filled with the mean colour) or a random resized
// one, a flip, colours, TrivialAugment.
#include "examples/data/color.h"
#include "examples/data/stats.h"

namespace demi::data {

struct AugmentOptions {
    int64_t pad = 0;    // the picture is moved by up to this many pixels each way
    bool flip = false;  // mirrored half of the time
    Jitter jitter;      // off by default
    float jitter_chance = 0.8f;
    float crop_share = 0;  // above 0: a random box with at least this share of the area, resized to the whole
    bool trivial = false;  // one random operation of random strength (trivial.h)

    static AugmentOptions none() { return {}; }
    // What suits small pictures: moved by an eighth of the side, and mirrored where that keeps the class.
    static AugmentOptions standard(int64_t image_size, bool flip) { return {image_size / 8, flip, {}}; }
};

// Normalised floats [channels, height, width] into out.
void augment(const Image& image, const AugmentOptions& options, const ChannelStats& stats, KeyedRng rng,
             float* out);

}  // namespace demi::data
