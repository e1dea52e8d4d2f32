#pragma once
// What a file of weights says of its network: by the shapes of its tensors, a config.json, or metadata.
#include <array>
#include <optional>

#include "models/pretrained/names.h"
#include "models/vision_transformer.h"
#include "runtime/checkpoint/checkpoint.h"

namespace demi {

struct WeightsConfig {
    int64_t width = 0, depth = 0, heads = 0, patch = 0, channels = 3, registers = 0, ffn_hidden = 0;
    int64_t img_size = 0;  // of the position embedding; 0: there is none (DINOv3)
    bool swiglu = false, layer_scale = false, qkv_bias = false, proj_bias = false, ffn_bias = false;
    double norm_eps = 1e-6;
    bool antialias = false;  // how positions are resized
    double offset = 0.1;
    // DINOv3
    bool dinov3 = false, mask_k_bias = false, cls_norm = false, local_cls_norm = false;
    double rope_base = 100;
    std::vector<double> rope_periods = {};  // what Meta's files hold; empty: by the base
    // how pictures are normalised, where the file says it
    std::optional<std::array<double, 3>> mean, std;
    int64_t image_size = 0;                 // side of the pictures that it was trained on; 0: not said
    std::vector<std::string> classes = {};  // names of a classifier's outputs; empty: not said
    std::string
        heads_from;  // "config.json", "metadata", "rope_embed.periods", "the caller", "a table of widths" or a guess
};

// `heads` above 0 wins over what the file says. Throws where shapes contradict each other or config.json.
WeightsConfig read_weights_config(const CheckpointFile& file, const NameMap& map, int64_t heads);

// The configuration of our model. Throws for what there is no model for.
ViTConfig vit_config(const WeightsConfig& config);

}  // namespace demi
