#include "examples/train/ssl_setup.h"

#include "examples/common/format.h"
#include "examples/train/common.h"

namespace demi::examples {

SslConfig ssl_config(const TrainOptions& options, const ViTConfig& backbone) {
    SslConfig config;
    config.backbone = backbone;
    config.backbone.drop_path_uniform = true;
    config.head = {backbone.embed_dim, options.prototypes, options.head_hidden, options.bottleneck, 3};
    config.centering = options.centering;
    config.koleo_weight = options.koleo_weight;
    config.ibot_weight = options.ibot_weight;
    config.xavier = backbone.embed_dim < 256;
    return config;
}

data::MulticropOptions ssl_crops(const TrainOptions& options, int64_t image_size, bool flip) {
    data::MulticropOptions crops = data::MulticropOptions::small(image_size, flip);
    crops.local_crops = options.local_crops;
    const int64_t patch = options.patch;
    crops.global_size = std::max(crops.global_size / patch, int64_t{1}) * patch;
    crops.local_size = std::max(crops.local_size / patch, int64_t{1}) * patch;
    return crops;
}

std::string ssl_summary(const SslScores& scores) {
    std::string text = "k-NN accuracy " + percent(scores.knn) + " (untrained " + percent(scores.untrained) +
                       ", raw pixels " + percent(scores.pixels) + ")";
    if (scores.probe >= 0) text += ", linear probe " + percent(scores.probe);
    return text;
}

std::vector<Tile> ssl_tiles(const SslScores& scores, double seconds, int64_t steps, double images_per_second,
                            int64_t peak_bytes) {
    std::vector<Tile> tiles = {
        {"k-NN accuracy", percent(scores.knn),
         "untrained " + percent(scores.untrained) + ", pixels " + percent(scores.pixels)},
        {"time", human_time(seconds), std::to_string(steps) + " steps"},
        {"speed", human_count(images_per_second) + "/s", "pictures in training"},
        {"peak memory", human_bytes(static_cast<double>(peak_bytes)), "tensors"}};
    if (scores.probe >= 0)
        tiles.insert(tiles.begin() + 1, {"linear probe", percent(scores.probe), "frozen features"});
    return tiles;
}

std::vector<Chart> ssl_charts(const std::vector<Record>& records, const SslScores& scores) {
    const Chart knn{"k-NN accuracy",
                    "step",
                    {series(records, "teacher", "knn")},
                    {{"raw pixels", scores.pixels}, {"untrained", scores.untrained}},
                    true,
                    false};
    const Chart parts{"Parts of the loss",
                      "step",
                      {series(records, "local crops", "dino_local", true),
                       series(records, "global crops", "dino_global", true),
                       series(records, "masked patches", "ibot", true),
                       series(records, "KoLeo", "koleo", true)},
                      {},
                      false,
                      false};
    return {knn,
            {"Loss", "step", {series(records, "total", "loss", true)}, {}, false, false},
            parts,
            {"Learning rate", "step", {series(records, "rate", "lr")}, {}, false, false},
            {"Gradient norm", "step", {series(records, "norm", "grad_norm", true)}, {}, false, true}};
}

}  // namespace demi::examples
