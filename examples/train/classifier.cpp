#include "examples/train/classifier.h"

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
    return head.forward(concat({features.x_norm_clstoken, mean(features.x_norm_patchtokens, {1})}, 1));
}

void Classifier::visit(const std::string& prefix, const ParameterVisitor& fn) {
    backbone.visit(prefix, fn);
    head.visit(prefix + "head.", fn);
}

// A patch size that cuts the picture into at most 16 x 16 patches, at least 4 x 4.
static int64_t natural_patch(int64_t image_size) {
    for (int64_t patch : {4, 7, 8, 14, 16, 32})
        if (image_size % patch == 0 && image_size / patch <= 16) return patch;
    return image_size;
}

ViTConfig model_config(TrainOptions& options, int64_t image_size, int64_t channels) {
    if (options.patch == 0) options.patch = natural_patch(image_size);
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
          ": got ", options.patch);
    check(options.dim % options.heads == 0, "model", "--dim must be a multiple of --heads: got ", options.dim,
          " and ", options.heads);
    config.patch_size = options.patch;
    config.img_size = image_size;
    config.in_chans = channels;
    config.drop_path_rate = options.drop_path;
    if (options.layer_scale > 0) config.init_values = options.layer_scale;
    config.num_register_tokens = options.registers;
    if (options.swiglu) config.ffn_layer = "swiglu";
    return config;
}

std::string describe(const ViTConfig& config) {
    return "ViT, patch " + std::to_string(config.patch_size) + ", width " + std::to_string(config.embed_dim) +
           ", " + std::to_string(config.depth) + " blocks, " + std::to_string(config.num_heads) + " heads";
}

}  // namespace demi::examples
