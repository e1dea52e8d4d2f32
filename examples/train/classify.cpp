#include "examples/train/classify.h"

#include <cmath>

#include "examples/common/device.h"
#include "examples/train/model_file.h"
#include "models/state.h"

namespace demi::examples {
namespace {

// [classes, inputs] of the file's head; {0, 0} without.
Shape head_shape(const Pretrained& weights) {
    const auto found = weights.names().heads.find("head.weight");
    return found == weights.names().heads.end() ? Shape{0, 0} : weights.file().info(found->second).shape;
}

std::vector<std::string> class_names(const Pretrained& weights, int64_t count) {
    std::vector<std::string> names = weights.config().classes;
    check(names.empty() || std::ssize(names) == count, "classify", "'", weights.file().path(), "' names ",
          names.size(), " classes, but its head has ", count, " outputs");
    for (int64_t i = std::ssize(names); i < count; ++i) names.push_back(std::to_string(i));
    return names;
}

int64_t picture_size(const ClassifyOptions& options, const Pretrained& weights) {
    const WeightsConfig& c = weights.config();
    const int64_t side = options.image_size > 0 ? options.image_size
                         : c.image_size > 0     ? c.image_size
                         : c.img_size > 0       ? c.img_size
                                                : 224;
    check(side <= 4096, "classify", "'", options.model, "' is for pictures of ", side,
          " pixels a side, at most 4096 are read: --image-size says another");
    check(side % c.patch == 0 || (c.dinov3 && side >= c.patch), "classify",
          "--image-size must be a multiple of the model's patch ", c.patch, ": got ", side);
    return side;
}

void fill_model(LoadedClassifier& c, const Pretrained& weights, const ViTConfig& config) {
    const Shape head = head_shape(weights);
    c.has_head = head.numel() > 0;
    const bool timm = weights.names().naming == WeightNaming::timm;
    check(!c.has_head || (head.rank() == 2 &&
                          (head[1] == 2 * config.embed_dim || (timm && head[1] == config.embed_dim))),
          "classify", "'", weights.file().path(), "': head.weight is ", head, "; needed is [classes, ",
          2 * config.embed_dim, "], for class token and mean of the patch tokens");
    Generator generator;
    const SkipInit skip;
    c.model.backbone = DinoVisionTransformer(config, generator);
    NamedParameters parameters = parameters_of(c.model.backbone);
    if (c.has_head) {
        c.model.head = Linear(head[1], head[0], weights.names().heads.contains("head.bias"), generator);
        for (const auto& entry : parameters_of(c.model.head, "head.")) parameters.push_back(entry);
        c.classes = class_names(weights, head[0]);
        c.named = !weights.config().classes.empty();
    }
    for (const std::string& name : load_pretrained(parameters, weights).kept)
        check(!name.starts_with("head."), "classify", "'", weights.file().path(), "': ", name,
              " does not fit head.weight ", head);
    for (auto [name, parameter] : parameters) parameter.move_to(c.device);
}

}  // namespace

LoadedClassifier load_classifier(const ClassifyOptions& options) {
    LoadedClassifier c;
    c.device = usable_device(options.device);
    const Pretrained weights(options.model, {options.heads, options.key, !options.ignore_crc});
    const ViTConfig config = vit_config(weights.config());
    check(config.in_chans == 1 || config.in_chans == 3, "classify", "'", options.model,
          "' is for pictures of ", config.in_chans, " channels: only 1 and 3 are read");
    c.image_size = picture_size(options, weights);
    c.channels = config.in_chans;
    fill_model(c, weights, config);
    const Metadata& m = weights.file().metadata();
    if (const auto exif = m.find("exif_orientation"); exif != m.end()) c.upright = exif->second != "0";
    const auto stats = stats_of(weights.config());
    c.stats = stats.value_or(kImagenetColours);
    c.context.precision = parse_precision(options.precision);
    c.context.boundary.mode = parse_boundary_mode(options.boundary);
    c.description = weights.describe();
    if (!stats) c.description += "  mean and std of the pictures are not said: ImageNet's are taken\n";
    if (c.has_head && !c.named)
        c.description += "  the names of its " + std::to_string(c.classes.size()) +
                         " classes are not said: they are numbers from 0\n";
    return c;
}

}  // namespace demi::examples
