#include "examples/data/augment.h"

#include <algorithm>

#include "examples/data/multicrop.h"
#include "examples/data/trivial.h"

namespace demi::data {

void augment(const Image& image, const AugmentOptions& options, const ChannelStats& stats, KeyedRng rng,
             float* out) {
    const int64_t dy = options.pad > 0 ? rng.below(2 * options.pad + 1) - options.pad : 0;
    const int64_t dx = options.pad > 0 ? rng.below(2 * options.pad + 1) - options.pad : 0;
    const bool flip = options.flip && rng.chance(0.5f);
    const bool colored = options.jitter.any() && rng.chance(options.jitter_chance);
    Planes planes;
    if (options.crop_share > 0) {
        const float scale[2] = {options.crop_share, 1}, ratio[2] = {0.75f, 4.0f / 3};
        planes = resample(image, random_box(image.height, image.width, scale, ratio, rng), image.height,
                          image.width, Filter::bicubic);
    } else {
        planes = to_planes(image);
    }
    if (colored) color_jitter(planes, options.jitter, rng);
    if (flip) flip_horizontal(planes);
    if (options.trivial) trivial_augment(planes, rng);
    for (int64_t c = 0; c < planes.channels; ++c) {
        const float mean = stats.mean[static_cast<size_t>(c)];
        const float scale = 1 / stats.std[static_cast<size_t>(c)];
        for (int64_t y = 0; y < planes.height; ++y) {
            float* to = out + (c * planes.height + y) * planes.width;
            const int64_t source = y + dy;
            std::fill(to, to + planes.width, 0.0f);  // the mean, once normalised
            if (source < 0 || source >= planes.height) continue;
            const float* from = planes.plane(c) + source * planes.width + dx;
            const int64_t begin = std::max<int64_t>(0, -dx);
            const int64_t end = std::min(planes.width, planes.width - dx);
            for (int64_t x = begin; x < end; ++x) to[x] = (from[x] - mean) * scale;
        }
    }
}

}  // namespace demi::data
