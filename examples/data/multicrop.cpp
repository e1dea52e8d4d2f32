#include "examples/data/multicrop.h"

#include <algorithm>
#include <cmath>

#include "runtime/check.h"

namespace demi::data {

MulticropOptions MulticropOptions::small(int64_t image_size, bool flip) {
    MulticropOptions options;
    options.global_size = image_size;
    options.local_size = std::max<int64_t>(image_size / 2, 1);
    options.local_crops = 4;
    options.global_scale[0] = 0.4f;
    options.local_scale[0] = 0.15f;
    options.local_scale[1] = 0.4f;
    options.flip = flip;
    options.blur_chance[0] = 0.5f;
    options.blur_sigma[1] = std::max(0.5f, 2.0f * static_cast<float>(image_size) / 64);
    return options;
}

void check_options(const MulticropOptions& options) {
    check(options.global_size > 0 && options.local_size > 0, "data",
          "crop sizes must be positive, got global ", options.global_size, " and local ", options.local_size);
    check(options.local_crops >= 0 && options.local_crops <= 64, "data",
          "local crops must be from 0 to 64, got ", options.local_crops);
    for (const auto* scale : {options.global_scale, options.local_scale})
        check(scale[0] > 0 && scale[0] <= scale[1] && scale[1] <= 1, "data",
              "crop scales must satisfy 0 < low <= high <= 1, got ", scale[0], " and ", scale[1]);
    check(options.ratio[0] > 0 && options.ratio[0] <= options.ratio[1], "data",
          "crop aspects must satisfy 0 < low <= high, got ", options.ratio[0], " and ", options.ratio[1]);
    for (const float p :
         {options.jitter_chance, options.gray_chance, options.blur_chance[0], options.blur_chance[1],
          options.blur_chance[2], options.solarize_chance, options.invert_chance})
        check(p >= 0 && p <= 1, "data", "a chance must be in [0, 1], got ", p);
}

Box random_box(int64_t height, int64_t width, const float scale[2], const float ratio[2], KeyedRng& rng) {
    const float area = static_cast<float>(height * width);
    for (int attempt = 0; attempt < 10; ++attempt) {
        const float target = area * rng.uniform(scale[0], scale[1]);
        const float aspect = std::exp(rng.uniform(std::log(ratio[0]), std::log(ratio[1])));
        const auto w = static_cast<int64_t>(std::sqrt(target * aspect) + 0.5f);
        const auto h = static_cast<int64_t>(std::sqrt(target / aspect) + 0.5f);
        if (w < 1 || h < 1 || w > width || h > height) continue;
        const int64_t top = rng.below(height - h + 1);
        const int64_t left = rng.below(width - w + 1);
        return {top, left, h, w};
    }
    const float shape = static_cast<float>(width) / static_cast<float>(height);
    int64_t w = width;
    int64_t h = height;
    if (shape < ratio[0])
        h = std::clamp<int64_t>(static_cast<int64_t>(static_cast<float>(w) / ratio[0]), 1, height);
    if (shape > ratio[1])
        w = std::clamp<int64_t>(static_cast<int64_t>(static_cast<float>(h) * ratio[1]), 1, width);
    return {(height - h) / 2, (width - w) / 2, h, w};
}

void make_view(const Image& image, int64_t view, const MulticropOptions& options, const ChannelStats& stats,
               KeyedRng rng, float* out) {
    const bool global = view < 2;
    const int64_t size = global ? options.global_size : options.local_size;
    const Box box = random_box(image.height, image.width, global ? options.global_scale : options.local_scale,
                               options.ratio, rng);
    Planes planes = resample(image, box, size, size, Filter::bicubic);
    if (options.flip && rng.chance(0.5f)) flip_horizontal(planes);
    if (options.turn)
        for (int64_t turns = rng.below(4); turns > 0; --turns) quarter_turn(planes);
    if (options.jitter.any() && rng.chance(options.jitter_chance)) color_jitter(planes, options.jitter, rng);
    if (rng.chance(options.gray_chance)) to_gray(planes);
    if (rng.chance(options.blur_chance[std::min<int64_t>(view, 2)]))
        gaussian_blur(planes, rng.uniform(options.blur_sigma[0], options.blur_sigma[1]));
    if (view == 1 && rng.chance(options.solarize_chance)) solarize(planes, options.solarize_threshold);
    if (options.invert_chance > 0 && rng.chance(options.invert_chance)) solarize(planes, 0);
    normalize(planes, stats, out);
}

}  // namespace demi::data
