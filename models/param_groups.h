#pragma once
// Which parameter learns how: DINOv2's rules for weight decay, layer-wise rate decay and the patch embedding.
#include "models/parameter.h"

namespace demi {

struct ParameterOptions {
    double lr_multiplier = 1;
    double wd_multiplier = 1;
    bool is_last_layer = false;  // of a DINO head: its rate is 0 while frozen
    bool is_backbone = false;    // "backbone.*": its rate is another one while it waits for new heads
};

struct ParameterGroupRules {
    double layer_decay = 1;     // rate * layer_decay^(depth + 1 - layer)
    double patch_embed_lr = 1;  // further factor for patch_embed (DINOv2 trains with 0.2)
    int64_t depth = 0;          // number of blocks
};

// By name: no weight decay for names that end in ".bias" or contain "norm" or "gamma"; layer 0 is pos_embed,
// patch_embed, mask_token, cls_token, register_tokens and storage_tokens, block i is layer i + 1, anything else layer depth
// + 1. A trailing part "backbone." is looked through; heads have no layer decay.
ParameterOptions parameter_options(const std::string& name, const ParameterGroupRules& rules);
std::vector<ParameterOptions> parameter_options(const NamedParameters& parameters,
                                                const ParameterGroupRules& rules);

}  // namespace demi
