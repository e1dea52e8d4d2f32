#pragma once
// A small DINOv3 and pictures for it.
#include "models/vision_transformer.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "runtime/random.h"
#include "tests/support/tiny_vit.h"

namespace demi::test {

inline ViTConfig dinov3(const std::string& ffn = "mlp") {
    ViTConfig c = tiny_vit(224, 32, 2);
    c.ffn_hidden = 40;
    c.ffn_layer = ffn;
    c.num_register_tokens = 2;
    c.init_values = 0.5;
    c.norm_eps = 1e-5;
    c.rope.emplace();
    c.mask_k_bias = true;
    c.drop_path_uniform = c.drop_path_subsets = true;
    return c;
}

inline Tensor pictures(int64_t count, int64_t height, int64_t width, uint64_t seed = 5) {
    Generator g{seed};
    return randn({count, 3, height, width}, g);
}

inline Variable random_sum(const Variable& x, uint64_t seed) {
    Generator g{seed};
    return sum(x * Variable(randn(x.shape(), g)));
}

}  // namespace demi::test
