#include "models/mask_generator.h"

#include <algorithm>
#include <cmath>

namespace demi {

static double between(Generator& generator, double low, double high) {
    return low + (high - low) * static_cast<double>(generator.next_uniform());
}

// Adds one rectangle of at most `most` new patches; returns how many it added, 0 after ten vain tries.
static int64_t add_block(std::vector<uint8_t>& mask, int64_t height, int64_t width, int64_t most,
                         const MaskOptions& options, Generator& generator) {
    for (int attempt = 0; attempt < 10; ++attempt) {
        const double area = between(generator, static_cast<double>(options.min_patches),
                                    static_cast<double>(std::max(most, options.min_patches)));
        const double aspect =
            std::exp(between(generator, std::log(options.min_aspect), -std::log(options.min_aspect)));
        const double rows = std::round(std::sqrt(area * aspect)),
                     columns = std::round(std::sqrt(area / aspect));
        if (!(rows >= 1 && columns >= 1 && rows < static_cast<double>(height) &&
              columns < static_cast<double>(width)))
            continue;
        const auto h = static_cast<int64_t>(rows), w = static_cast<int64_t>(columns);
        const auto top = static_cast<int64_t>(generator.next_below(static_cast<uint32_t>(height - h + 1)));
        const auto left = static_cast<int64_t>(generator.next_below(static_cast<uint32_t>(width - w + 1)));
        int64_t fresh = 0;
        for (int64_t y = top; y < top + h; ++y)
            for (int64_t x = left; x < left + w; ++x) fresh += mask[static_cast<size_t>(y * width + x)] == 0;
        if (fresh < 1 || fresh > most) continue;
        for (int64_t y = top; y < top + h; ++y) std::fill_n(mask.begin() + y * width + left, w, uint8_t{1});
        return fresh;
    }
    return 0;
}

static void check_grid(const char* op, int64_t height, int64_t width) {
    check(height >= 1 && width >= 1 && height <= INT32_MAX / width, op,
          "needs a grid of at least one patch, fewer than 2^31: got ", height, " x ", width);
}

std::vector<uint8_t> block_mask(int64_t height, int64_t width, int64_t quota, const MaskOptions& options,
                                Generator& generator) {
    check_grid("block_mask", height, width);
    check(options.min_patches >= 1 && options.min_aspect > 0 && options.min_aspect <= 1, "block_mask",
          "needs min_patches >= 1 and min_aspect in (0, 1]: got ", options.min_patches, " and ",
          options.min_aspect);
    std::vector<uint8_t> mask(static_cast<size_t>(height * width), 0);
    const auto largest = static_cast<int64_t>(0.5 * static_cast<double>(height * width));
    for (int64_t count = 0; count < quota;) {
        const int64_t added =
            add_block(mask, height, width, std::min(quota - count, largest), options, generator);
        if (added == 0) break;
        count += added;
    }
    return mask;
}

Tensor block_masks(int64_t images, int64_t height, int64_t width, const MaskOptions& options,
                   Generator& generator) {
    check_grid("block_masks", height, width);
    check(images >= 0 && images <= INT32_MAX / (height * width), "block_masks",
          "needs fewer than 2^31 patches in all: got ", images, " images of ", height, " x ", width);
    check(options.probability >= 0 && options.probability <= 1 && options.ratio_min >= 0 &&
              options.ratio_min <= options.ratio_max && options.ratio_max <= 1,
          "block_masks", "needs probability in [0, 1] and 0 <= ratio_min <= ratio_max <= 1: got ",
          options.probability, ", ", options.ratio_min, ", ", options.ratio_max);
    const auto masked = static_cast<int64_t>(static_cast<double>(images) * options.probability);
    const int64_t patches = height * width;
    const std::vector<int64_t> order = generator.permutation(images);
    Tensor masks = Tensor::zeros({images, patches}, DType::boolean);
    bool* out = masks.mutable_data<bool>();
    const double slice =
        masked > 0 ? (options.ratio_max - options.ratio_min) / static_cast<double>(masked) : 0;
    for (int64_t i = 0; i < masked; ++i) {
        const double low = options.ratio_min + slice * static_cast<double>(i);
        const auto quota =
            static_cast<int64_t>(static_cast<double>(patches) * between(generator, low, low + slice));
        const std::vector<uint8_t> mask = block_mask(height, width, quota, options, generator);
        std::transform(mask.begin(), mask.end(), out + order[static_cast<size_t>(i)] * patches,
                       [](uint8_t m) { return m != 0; });
    }
    return masks;
}

Tensor masked_positions(const Tensor& masks) {
    check(masks.defined() && masks.dtype() == DType::boolean, "masked_positions", "needs bool masks: got ",
          masks);
    const std::vector<uint8_t> bits = masks.to_vector<uint8_t>();
    std::vector<int64_t> positions;
    for (size_t i = 0; i < bits.size(); ++i)
        if (bits[i] != 0) positions.push_back(static_cast<int64_t>(i));
    return Tensor::from(positions, {static_cast<int64_t>(positions.size())}, masks.device());
}

Tensor mask_weights(const Tensor& masks) {
    check(masks.defined() && masks.rank() == 2 && masks.dtype() == DType::boolean, "mask_weights",
          "needs bool masks [images, patches]: got ", masks);
    const std::vector<uint8_t> bits = masks.to_vector<uint8_t>();
    std::vector<float> weights;
    for (auto row = bits.begin(); row != bits.end(); row += masks.size(1)) {
        const auto masked = std::count_if(row, row + masks.size(1), [](uint8_t bit) { return bit != 0; });
        weights.insert(weights.end(), static_cast<size_t>(masked),
                       1.0f / static_cast<float>(std::max<int64_t>(masked, 1)));
    }
    return Tensor::from(weights, {std::ssize(weights)}, masks.device());
}

}  // namespace demi
