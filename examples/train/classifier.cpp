#include "examples/train/classifier.h"

#include <array>

#include "ops/elementwise/cast.h"
#include "ops/reduce/reduce.h"
#include "ops/views/concat.h"

namespace demi::examples {

Classifier::Classifier(const ViTConfig& config, int64_t classes, Generator& generator)
    : backbone(config, generator), head(2 * config.embed_dim, classes, true, generator) {
    if (config.embed_dim < 256) backbone.init_xavier(generator);
}

Variable Classifier::forward(const Variable& images, const ForwardContext& context) const {
    const ViTOutput features = backbone.forward_features(images, context);
    if (head.weight.size(1) == backbone.config().embed_dim) return head.forward(features.x_norm_clstoken);
    return head.forward(concat({features.x_norm_clstoken, mean(features.x_norm_patchtokens, {1})}, 1));
}

void Classifier::visit(const std::string& prefix, const ParameterVisitor& fn) {
    backbone.visit(prefix, fn);
    head.visit(prefix + "head.", fn);
}

int64_t natural_patch(int64_t side) {
    for (int64_t patch : {4, 7, 8, 14, 16, 32})
        if (side % patch == 0 && side / patch <= 16) return patch;
    const auto search = [side](int64_t first, int64_t last, int64_t least, int64_t most) {
        for (int64_t patch = first; patch <= last; ++patch)
            if (side % patch == 0 && side / patch >= least && side / patch <= most) return patch;
        return int64_t{0};
    };
    if (side < 16) return search(2, side, 2, 16);
    for (const auto& [first, last, most] : {std::array<int64_t, 3>{4, 32, 16}, {4, 32, 32}, {33, 64, 32}})
        if (const int64_t patch = search(first, last, 4, most)) return patch;
    return 0;
}

// "--image-size 96 or 98", the nearest sides that the patch, or any, divides.
static std::string other_sides(int64_t side, int64_t patch) {
    const auto fits = [patch](int64_t s) { return patch > 0 ? s % patch == 0 : natural_patch(s) > 0; };
    std::string text;
    int64_t below = side - 1, above = side + 1;
    while (below >= 8 && !fits(below)) --below;
    while (above < 2048 && !fits(above)) ++above;
    if (below >= 8 && fits(below)) text = "--image-size " + std::to_string(below);
    if (fits(above)) text += (text.empty() ? "--image-size " : " or ") + std::to_string(above);
    return text;
}

ViTConfig model_config(TrainOptions& options, int64_t image_size, int64_t channels) {
    if (options.patch == 0) options.patch = natural_patch(image_size);
    check(options.patch > 0, "model", "no patch cuts a side of ", image_size, " pixels into 4 to 32 parts; ",
          other_sides(image_size, 0), " has one, or --patch names one of your own");
    ViTConfig config;
    if (!options.model.empty()) {
        config = vit_config(options.model, options.patch);
        options.dim = config.embed_dim;
        options.depth = config.depth;
        options.heads = config.num_heads;
        options.mlp_ratio = config.mlp_ratio;
    } else {
        config.embed_dim = options.dim;
        config.depth = options.depth;
        config.num_heads = options.heads;
        config.mlp_ratio = options.mlp_ratio;
    }
    check(image_size % options.patch == 0, "model", "--patch must divide the picture's side ", image_size,
          ": got ", options.patch, "; ", natural_patch(image_size) > 0 ? "--patch " : "",
          natural_patch(image_size) > 0 ? std::to_string(natural_patch(image_size)) + ", or " : "",
          other_sides(image_size, options.patch), " would fit");
    check(options.dim % options.heads == 0, "model", "--dim must be a multiple of --heads: got ", options.dim,
          " and ", options.heads);
    config.patch_size = options.patch;
    config.img_size = image_size;
    config.in_chans = channels;
    config.drop_path_rate = options.drop_path;
    if (options.layer_scale > 0) config.init_values = options.layer_scale;
    config.num_register_tokens = options.registers;
    if (options.swiglu) config.ffn_layer = "swiglu";
    if (options.rope && !config.rope) config.rope.emplace();
    return config;
}

std::string describe(const ViTConfig& config) {
    return "ViT, patch " + std::to_string(config.patch_size) + ", width " + std::to_string(config.embed_dim) +
           ", " + std::to_string(config.depth) + " blocks, " + std::to_string(config.num_heads) + " heads";
}

}  // namespace demi::examples
