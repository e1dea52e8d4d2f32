#pragma once
// DinoVisionTransformer of DINOv2 and DINOv3: patch embedding, class token, optional register and mask tokens, positions
// (DINOv2: an embedding, resized for other image sizes; DINOv3: rope in every attention), blocks, final norm.
#include "models/block.h"

namespace demi {

struct ViTConfig {
    int64_t img_size = 224;
    int64_t patch_size = 16;
    int64_t in_chans = 3;
    int64_t embed_dim = 384;
    int64_t depth = 12;
    int64_t num_heads = 6;
    double mlp_ratio = 4;
    bool qkv_bias = true, ffn_bias = true, proj_bias = true;
    double drop_path_rate = 0;
    bool drop_path_uniform = false;  // false: the rate rises linearly, from 0 in the first block
    std::optional<double> init_values;
    // "mlp", "swiglu", "swiglufused" (the same), "swiglu_split" (w1 and w2 apart).
    std::string ffn_layer = "mlp";
    int64_t block_chunks = 0;  // names only: blocks.{chunk}.{i}
    int64_t num_register_tokens = 0;
    bool interpolate_antialias = false;
    double interpolate_offset = 0.1;
    double norm_eps = 1e-6;  // of every LayerNorm
    // Of the feed-forward layer, exactly; 0: embed_dim mlp_ratio, of which SwiGLU takes 2/3.
    int64_t ffn_hidden = 0;
    // DINOv3: no pos_embed, registers are called "storage_tokens", img_size means nothing, and of images whose sides are no
    // multiples of the patch size the rest is cut off at the right and the bottom.
    std::optional<RopeConfig> rope = {};
    bool mask_k_bias = false;        // the third of qkv's bias that belongs to k counts as 0
    bool drop_path_subsets = false;  // stochastic depth by subsets of the batch for every rate
    // Final norms of their own for class and register tokens: always; of the second of a list in training.
    bool cls_norm = false, local_cls_norm = false;
};

// The model tables: "vit_small", "vit_base", "vit_large", "vit_giant2" of DINOv2; "dinov3_vits16", "dinov3_vits16plus",
// "dinov3_vitb16", "dinov3_vitl16", "dinov3_vitl16plus", "dinov3_vith16plus", "dinov3_vit7b16".
ViTConfig vit_config(const std::string& model, int64_t patch_size = 16);

struct ViTOutput {
    Variable x_norm_clstoken;     // [B, D]
    Variable x_norm_regtokens;    // [B, R, D]; DINOv3's x_storage_tokens
    Variable x_norm_patchtokens;  // [B, N, D]
    Variable x_prenorm;           // [B, 1 + R + N, D]
};

class DinoVisionTransformer {
  public:
    DinoVisionTransformer() = default;
    DinoVisionTransformer(const ViTConfig& config, Generator& generator);

    // images [B, C, H, W] f32, B may be 0; masks: undefined, or bool [B, N], true where the patch is
    // replaced by mask_token.
    ViTOutput forward_features(const Variable& images, const ForwardContext& context,
                               const Tensor& masks = {}) const;
    // Images of different sizes in one pass through the blocks (nested tensors). masks:
    // empty, or one per image batch.
    std::vector<ViTOutput> forward_features(const std::vector<Variable>& images,
                                            const ForwardContext& context,
                                            const std::vector<Tensor>& masks = {}) const;
    // The normalised class token. Without gradients and training the last block computes nothing else.
    Variable forward(const Variable& images, const ForwardContext& context) const;
    // Patch, class and register tokens after the given blocks; negative counts from the end.
    struct Intermediate {
        Variable patches;    // [B, N, D], or [B, D, H/p, W/p] with reshape
        Variable cls_token;  // [B, D]
        Variable registers;  // [B, R, D]; DINOv3's storage tokens
    };
    std::vector<Intermediate> get_intermediate_layers(const Variable& images, const ForwardContext& context,
                                                      const std::vector<int64_t>& layers,
                                                      bool reshape = false, bool norm = true) const;
    // Attention of the class token in the last block: [B, heads, 1 + R + N], each row sums to 1.
    Tensor get_last_selfattention(const Tensor& images) const;

    void visit(const std::string& prefix, const ParameterVisitor& fn);
    const ViTConfig& config() const { return config_; }

    // Initial weights for narrow models (dim below ~200): Xavier-normal instead of std
    // 0.02 in every linear layer.
    void init_xavier(Generator& generator);

  private:
    Variable prepare_tokens(const Variable& images, const ForwardContext& context, const Tensor& masks) const;
    Variable position_embedding(int64_t height, int64_t width) const;
    // Angles of the patches of `images` for one block; drawn anew in training. Without rope: undefined.
    RopeGrid rope_grid(const Variable& images, const ForwardContext& context) const;
    bool draws(const ForwardContext& context) const {
        return context.training && config_.rope && config_.rope->draws();
    }
    Variable normed(const Variable& x, bool local) const;
    ViTOutput finish(const Variable& x, bool local) const;

    ViTConfig config_;
    PatchEmbed patch_embed_;
    Variable cls_token_, pos_embed_, register_tokens_, mask_token_;
    std::vector<Block> blocks_;
    LayerNorm norm_, cls_norm_, local_cls_norm_;  // the last two may be undefined
};

}  // namespace demi
