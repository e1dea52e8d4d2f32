#include "examples/train/ssl_setup.h"

#include <cmath>

#include "examples/common/format.h"
#include "examples/train/common.h"

namespace demi::examples {

SslConfig ssl_config(const TrainOptions& options, const ViTConfig& backbone) {
    SslConfig config;
    config.backbone = backbone;
    config.backbone.drop_path_uniform = true;
    config.head = {backbone.embed_dim, options.prototypes, options.head_hidden, options.bottleneck, 3};
    config.separate_ibot_head = options.ibot_head;
    config.centering = options.centering;
    config.koleo_weight = options.koleo_weight;
    config.ibot_weight = options.ibot_weight;
    config.xavier = backbone.embed_dim < 256;
    return config;
}

data::MulticropOptions ssl_crops(const TrainOptions& options, int64_t image_size,
                                 const data::OpenedData& data) {
    data::MulticropOptions crops = data::MulticropOptions::small(image_size, data.flip);
    crops.turn = data.turn;
    crops.local_crops = options.local_crops;
    crops.global_size = options.global_size;
    crops.local_size = options.local_size;
    crops.global_scale[0] = static_cast<float>(options.global_share);
    crops.local_scale[0] = static_cast<float>(options.local_share);
    crops.local_scale[1] = static_cast<float>(options.local_share_end);
    const auto strength = static_cast<float>(options.color);
    crops.jitter = {0.4f * strength, 0.4f * strength, 0.2f * strength, static_cast<float>(options.hue)};
    crops.gray_chance = static_cast<float>(options.gray);
    const auto blur = static_cast<float>(options.blur);
    crops.blur_chance[0] = blur;
    crops.blur_chance[1] = 0.2f * blur;
    crops.blur_chance[2] = blur;
    crops.solarize_chance = static_cast<float>(options.solarize);
    crops.invert_chance = static_cast<float>(options.invert);
    const int64_t patch = options.patch;
    crops.global_size = std::max(crops.global_size / patch, int64_t{1}) * patch;
    crops.local_size = std::max(crops.local_size / patch, int64_t{1}) * patch;
    return crops;
}

std::string describe(const data::MulticropOptions& crops) {
    const auto part = [](int64_t count, int64_t size) {
        return std::to_string(count) + " of " + std::to_string(size) + " x " + std::to_string(size);
    };
    std::string text = "crops per picture, in whole patches: " + part(2, crops.global_size);
    if (crops.local_crops > 0) text += ", " + part(crops.local_crops, crops.local_size);
    return text;
}

// "untrained 22.4 %, raw pixels 63.9 %", of what was measured.
static std::string yardsticks(const SslScores& scores, const char* pixels) {
    std::string text;
    if (!std::isnan(scores.untrained)) text = "untrained " + percent(scores.untrained);
    if (!std::isnan(scores.pixels)) text += (text.empty() ? "" : ", ") + (pixels + percent(scores.pixels));
    return text;
}

std::string ssl_summary(const SslScores& scores) {
    if (!scores.measured()) return "";
    const std::string beside = yardsticks(scores, "raw pixels ");
    std::string text = "k-NN accuracy " + percent(scores.knn) + " among " + grouped(scores.neighbours);
    if (!beside.empty()) text += " (" + beside + ")";
    if (!std::isnan(scores.probe)) text += ", linear probe " + percent(scores.probe);
    return text;
}

std::vector<Tile> ssl_tiles(const SslScores& scores, const RunClock& clock, int64_t steps,
                            int64_t peak_bytes) {
    std::vector<Tile> tiles;
    if (scores.measured()) {
        const std::string beside = yardsticks(scores, "pixels ");
        tiles.push_back({"k-NN accuracy", percent(scores.knn),
                         "among " + grouped(scores.neighbours) + (beside.empty() ? "" : "; " + beside)});
    }
    if (!std::isnan(scores.probe))
        tiles.push_back({"linear probe", percent(scores.probe), "frozen features"});
    add_run_tiles(tiles, clock, steps, peak_bytes);
    return tiles;
}

std::vector<Chart> ssl_charts(const std::vector<Record>& records, const SslScores& scores,
                              int64_t prototypes) {
    std::vector<Chart> charts;
    if (scores.measured()) {
        Chart knn{"k-NN accuracy among " + grouped(scores.neighbours) + " pictures",
                  "step",
                  {series(records, "teacher", "knn")},
                  {},
                  true,
                  false};
        if (!std::isnan(scores.pixels)) knn.levels.push_back({"raw pixels", scores.pixels});
        if (!std::isnan(scores.untrained)) knn.levels.push_back({"untrained", scores.untrained});
        charts.push_back(std::move(knn));
    }
    const Chart parts{"Parts of the loss",
                      "step",
                      {series(records, "local crops", "dino_local", true),
                       series(records, "global crops", "dino_global", true),
                       series(records, "masked patches", "ibot", true),
                       series(records, "KoLeo", "koleo", true)},
                      {},
                      false,
                      false};
    const std::vector<Chart> more = {
        {"Loss", "step", {series(records, "total", "loss", true)}, {}, false, false},
        parts,
        {"Entropy of the teacher's targets",
         "step",
         {series(records, "class tokens", "target_entropy", true)},
         {{"ln K: they say nothing", std::log(static_cast<double>(prototypes))}},
         false,
         false},
        {"Learning rate", "step", {series(records, "rate", "lr")}, {}, false, false},
        {"Gradient norm", "step", {series(records, "norm", "grad_norm", true)}, {}, false, true}};
    charts.insert(charts.end(), more.begin(), more.end());
    return charts;
}

std::vector<std::string> ssl_notes(const std::vector<Record>& records, int64_t prototypes) {
    const double uniform = std::log(static_cast<double>(prototypes));
    double last = 0;
    for (const Record& r : records)
        if (r.find("dino_global")) last = r.number("dino_global") + r.number("dino_local");
    if (last < 0.995 * uniform) return {};
    return {"The DINO loss ended at ln K: the teacher's targets are uniform and teach nothing. A lower "
            "--teacher-temp, a lower --teacher-momentum, more steps or a larger --koleo-weight help."};
}

}  // namespace demi::examples
