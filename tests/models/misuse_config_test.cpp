// Configurations, options and sizes that make no sense.
#include "tests/models/misuse.h"

#include <limits>

namespace demi::test {

TEST_CASE("absurd configurations are refused") {
    Generator g{1};
    using L = std::numeric_limits<int64_t>;
    for (int64_t size : {int64_t{0}, int64_t{-1}, L::min(), L::max(), int64_t{1} << 40}) {
        CAPTURE(size);
        for (int64_t ViTConfig::*field : {&ViTConfig::img_size, &ViTConfig::patch_size, &ViTConfig::in_chans,
                                          &ViTConfig::embed_dim, &ViTConfig::depth, &ViTConfig::num_heads,
                                          &ViTConfig::block_chunks, &ViTConfig::num_register_tokens}) {
            if (size == 0 && (field == &ViTConfig::block_chunks || field == &ViTConfig::num_register_tokens))
                continue;
            ViTConfig c = tiny();
            c.*field = size;
            refuse("ViT", [&] { DinoVisionTransformer model(c, g); });
        }
        for (int64_t BlockConfig::*field : {&BlockConfig::dim, &BlockConfig::heads}) {
            BlockConfig c;
            c.*field = size;
            refuse("Block", [&] { Block block(c, g); });
            refuse("SelfAttention", [&] { SelfAttention block(c, g); });
        }
        for (int64_t DinoHeadConfig::*field :
             {&DinoHeadConfig::in_dim, &DinoHeadConfig::out_dim, &DinoHeadConfig::hidden_dim,
              &DinoHeadConfig::bottleneck_dim, &DinoHeadConfig::nlayers}) {
            DinoHeadConfig c = head_config();
            c.*field = size;
            refuse("DINOHead", [&] { DINOHead head(c, g); });
        }
        refuse("SwiGLU", [&] { SwiGLUFFN ffn(8, size, true, g); });
        refuse("patch", [&] { PatchEmbed embed(size, 3, 8, g); });
        refuse("channels", [&] { PatchEmbed embed(4, size, 8, g); });
        refuse("dim", [&] { PatchEmbed embed(4, 3, size, g); });
        refuse("masks", [&] { block_masks(2, size, 4, {}, g); });
        refuse("mask", [&] { block_mask(4, size, 3, {}, g); });
        if (size == 0) continue;
        refuse("Linear in", [&] { Linear layer(size, 8, true, g); });
        refuse("Linear out", [&] { Linear layer(8, size, true, g); });
        refuse("LayerNorm", [&] { LayerNorm layer(size); });
        refuse("Mlp", [&] { Mlp layer(8, size, true, g); });
        refuse("images", [&] { block_masks(size, 4, 4, {}, g); });
        refuse("constant", [&] { constant_parameter({size, 8}, 0); });
        refuse("normal", [&] { normal_parameter({size, 8}, g, 1); });
        refuse("uniform", [&] { uniform_parameter({size, 8}, g, 1); });
        refuse("trunc_normal", [&] { trunc_normal_parameter({size, 8}, g, 1); });
    }
    for (double value : {kNaN, kInf, -kInf, -2.0, 1e300}) {
        CAPTURE(value);
        for (double ViTConfig::*field :
             {&ViTConfig::mlp_ratio, &ViTConfig::drop_path_rate, &ViTConfig::interpolate_offset}) {
            ViTConfig c = tiny();
            c.*field = value;
            refuse("ViT", [&] { DinoVisionTransformer model(c, g); });
        }
        SslConfig ssl;
        ssl.backbone = tiny();
        ssl.head = head_config();
        for (double SslConfig::*field :
             {&SslConfig::student_temp, &SslConfig::center_momentum, &SslConfig::dino_weight,
              &SslConfig::koleo_weight, &SslConfig::ibot_weight}) {
            if (value == 1e300 && field != &SslConfig::center_momentum) continue;
            if (value == kInf && field == &SslConfig::student_temp) continue;
            SslConfig c = ssl;
            c.*field = value;
            refuse("ssl", [&] { SSLMetaArch model(c, g); });
        }
        MaskOptions masks;
        masks.probability = value;
        refuse("probability", [&] { block_masks(2, 4, 4, masks, g); });
        masks = {};
        masks.ratio_max = value;
        refuse("ratio_max", [&] { block_masks(2, 4, 4, masks, g); });
        masks = {};
        masks.min_aspect = value;
        refuse("min_aspect", [&] { block_masks(2, 4, 4, masks, g); });
        refuse("kept_rows", [&] { kept_rows(4, value); });
        refuse("std", [&] { Linear layer(8, 8, true, g, value); });
        refuse("ema", [&] {
            ema_update({{"a", constant_parameter({1}, 0)}}, {{"a", constant_parameter({1}, 0)}}, value);
        });
    }
    ViTConfig odd = tiny();
    odd.init_values = kNaN;
    refuse("init_values", [&] { DinoVisionTransformer model(odd, g); });
    odd = tiny();
    odd.ffn_layer = "";
    refuse("ffn_layer", [&] { DinoVisionTransformer model(odd, g); });
    odd = tiny();
    odd.drop_path_rate = 1;
    refuse("drop_path_rate", [&] { DinoVisionTransformer model(odd, g); });
    odd = tiny();
    odd.mlp_ratio = 0;
    refuse("mlp_ratio", [&] { DinoVisionTransformer model(odd, g); });
    refuse("vit_config", [&] { vit_config("vit_none"); });
    MaskOptions masks;
    masks.min_aspect = 1e-300;
    masks.min_patches = kHuge;
    block_masks(2, 4, 4, masks, g);  // no rectangle fits: empty masks
    masks.min_patches = 0;
    refuse("min_patches", [&] { block_masks(2, 4, 4, masks, g); });
    refuse("schedule", [] { CosineSchedule{.freeze = -1}.at(0); });
    refuse("schedule", [] { CosineSchedule{.warmup = INT64_MIN}.at(0); });
    refuse("schedule",
           [] { CosineSchedule{.total = kHuge, .warmup = kHuge, .freeze = kHuge}.at(kHuge - 1); });
    refuse("schedule", [] { CosineSchedule().at(-1); });
    refuse("schedule", [] { LinearSchedule().at(INT64_MIN); });
    CHECK(LinearSchedule{0, 1, INT64_MIN}.at(0) == 1);
}

}  // namespace demi::test
