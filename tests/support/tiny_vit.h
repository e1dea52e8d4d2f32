#pragma once
#include "models/vision_transformer.h"

namespace demi::test {

// A network that a test can afford: patches of 4, everything else as by default.
inline ViTConfig tiny_vit(int64_t side, int64_t width, int64_t depth, int64_t heads = 2) {
    ViTConfig c;
    c.img_size = side;
    c.patch_size = 4;
    c.embed_dim = width;
    c.depth = depth;
    c.num_heads = heads;
    return c;
}

// The same with register tokens, LayerScale and stochastic depth.
inline ViTConfig tiny_vit_with_all(int64_t side, int64_t width, int64_t depth) {
    ViTConfig c = tiny_vit(side, width, depth);
    c.num_register_tokens = 1;
    c.init_values = 0.5;
    c.drop_path_rate = 0.3;
    c.drop_path_uniform = true;
    return c;
}

}  // namespace demi::test
