#include "models/vision_transformer.h"

namespace demi {
namespace {

struct Dinov3Line {
    const char* name;
    int64_t dim, depth, heads, hidden;
    bool swiglu;
};
constexpr Dinov3Line kDinov3[] = {
    {"dinov3_vits16", 384, 12, 6, 1536, false},      {"dinov3_vits16plus", 384, 12, 6, 1536, true},
    {"dinov3_vitb16", 768, 12, 12, 3072, false},     {"dinov3_vitl16", 1024, 24, 16, 4096, false},
    {"dinov3_vitl16plus", 1024, 24, 16, 4096, true}, {"dinov3_vith16plus", 1280, 32, 20, 5120, true},
    {"dinov3_vit7b16", 4096, 40, 32, 8192, true},
};

ViTConfig dinov3_config(const std::string& model) {
    for (const Dinov3Line& line : kDinov3) {
        if (model != line.name) continue;
        ViTConfig c;
        c.embed_dim = line.dim;
        c.depth = line.depth;
        c.num_heads = line.heads;
        c.ffn_hidden = line.hidden;
        c.ffn_layer = line.swiglu ? "swiglu_split" : "mlp";
        c.num_register_tokens = 4;
        c.init_values = 1e-5;
        c.norm_eps = 1e-5;
        c.rope.emplace();
        c.qkv_bias = c.mask_k_bias = model != "dinov3_vit7b16";
        c.drop_path_uniform = c.drop_path_subsets = true;
        return c;
    }
    fail("vit_config", "there is no ", model, " in the table of DINOv3");
}

}  // namespace

ViTConfig vit_config(const std::string& model, int64_t patch_size) {
    if (model.starts_with("dinov3_")) return dinov3_config(model);
    ViTConfig config;
    config.patch_size = patch_size;
    const auto set = [&](int64_t dim, int64_t depth, int64_t heads) {
        config.embed_dim = dim;
        config.depth = depth;
        config.num_heads = heads;
    };
    if (model == "vit_small") {
        set(384, 12, 6);
    } else if (model == "vit_base") {
        set(768, 12, 12);
    } else if (model == "vit_large") {
        set(1024, 24, 16);
    } else if (model == "vit_giant2") {
        set(1536, 40, 24);
        config.ffn_layer = "swiglufused";
    } else {
        fail("vit_config", "needs vit_small, vit_base, vit_large, vit_giant2 or a name of DINOv3: got '",
             model, "'");
    }
    return config;
}

}  // namespace demi
