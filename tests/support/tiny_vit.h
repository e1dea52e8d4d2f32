#pragma once
#include "models/vision_transformer.h"

namespace demi::test {

// A network that a test can afford: patches of 4, two heads, everything else as by default.
inline ViTConfig tiny_vit(int64_t side, int64_t width, int64_t depth) {
    ViTConfig c;
    c.img_size = side;
    c.patch_size = 4;
    c.embed_dim = width;
    c.depth = depth;
    c.num_heads = 2;
    return c;
}

}  // namespace demi::test
