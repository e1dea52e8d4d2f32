#include "models/param_groups.h"

#include <doctest/doctest.h>

#include <cmath>

namespace demi::test {

TEST_CASE("parameter options by DINOv2's rules") {
    const ParameterGroupRules rules{0.9, 0.2, 12};
    const auto of = [&](const char* name) { return parameter_options(name, rules); };
    CHECK(of("pos_embed").lr_multiplier == doctest::Approx(std::pow(0.9, 13)));
    CHECK(of("backbone.cls_token").lr_multiplier == doctest::Approx(std::pow(0.9, 13)));
    CHECK(of("patch_embed.proj.weight").lr_multiplier == doctest::Approx(0.2 * std::pow(0.9, 13)));
    CHECK(of("blocks.0.attn.qkv.weight").lr_multiplier == doctest::Approx(std::pow(0.9, 12)));
    CHECK(of("blocks.11.mlp.fc1.weight").lr_multiplier == doctest::Approx(0.9));
    CHECK(of("blocks.1.7.mlp.fc1.weight").lr_multiplier ==
          doctest::Approx(std::pow(0.9, 5)));  // chunked: block 7
    CHECK(of("norm.weight").lr_multiplier == 1);
    CHECK(of("dino_head.mlp.0.weight").lr_multiplier == 1);
    for (const char* name :
         {"blocks.3.attn.qkv.bias", "norm.weight", "blocks.2.norm1.weight", "blocks.2.ls1.gamma"})
        CHECK(of(name).wd_multiplier == 0);
    for (const char* name :
         {"cls_token", "pos_embed", "blocks.3.mlp.fc1.weight", "dino_head.last_layer.weight_g"})
        CHECK(of(name).wd_multiplier == 1);
    CHECK(of("dino_head.last_layer.weight_v").is_last_layer);
    CHECK_FALSE(of("dino_head.mlp.4.weight").is_last_layer);
    CHECK(of("backbone.blocks.0.attn.qkv.weight").is_backbone);
    CHECK_FALSE(of("dino_head.mlp.4.weight").is_backbone);
    CHECK_FALSE(of("blocks.0.attn.qkv.weight").is_backbone);
}

}  // namespace demi::test
