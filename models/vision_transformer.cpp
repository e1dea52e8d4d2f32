#include "models/vision_transformer.h"

#include <cmath>

#include "autograd/grad_mode.h"
#include "ops/elementwise/cast.h"
#include "ops/elementwise/where.h"
#include "ops/interpolate_bicubic/interpolate_bicubic.h"
#include "ops/operators.h"
#include "ops/views/concat.h"
#include "ops/views/views.h"

namespace demi {

ViTConfig vit_config(const std::string& model, int64_t patch_size) {
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
        fail("vit_config", "needs vit_small, vit_base, vit_large or vit_giant2: got '", model, "'");
    }
    return config;
}

static BlockConfig block_config(const ViTConfig& c, int64_t layer) {
    const double last = static_cast<double>(c.depth - 1);
    const double rate = c.drop_path_uniform || c.depth == 1
                            ? (c.drop_path_uniform ? c.drop_path_rate : 0)
                            : c.drop_path_rate * static_cast<double>(layer) / last;
    return {c.embed_dim, c.num_heads, c.mlp_ratio,   c.qkv_bias,           c.proj_bias,
            c.ffn_bias,  rate,        c.init_values, c.ffn_layer != "mlp", c.norm_eps};
}

DinoVisionTransformer::DinoVisionTransformer(const ViTConfig& config, Generator& generator)
    : config_(config) {
    const ViTConfig& c = config_;
    checked_size("vit", "img_size", c.img_size);
    check(c.img_size % checked_size("vit", "patch_size", c.patch_size) == 0, "vit",
          "img_size must be a multiple of patch_size: got ", c.img_size, " and ", c.patch_size);
    checked_size("vit", "embed_dim", c.embed_dim);
    checked_size("vit", "in_chans", c.in_chans);
    checked_size("vit", "depth", c.depth, 1000);
    check(c.num_register_tokens >= 0 && c.num_register_tokens <= INT32_MAX, "vit",
          "num_register_tokens must lie in [0, ", INT32_MAX, "]: got ", c.num_register_tokens);
    check(c.drop_path_rate >= 0 && c.drop_path_rate < 1, "vit", "drop_path_rate must be in [0, 1): got ",
          c.drop_path_rate);
    check(std::abs(c.interpolate_offset) < 1, "vit", "interpolate_offset must be in (-1, 1): got ",
          c.interpolate_offset);
    check(c.ffn_layer == "mlp" || c.ffn_layer == "swiglu" || c.ffn_layer == "swiglufused", "vit",
          "ffn_layer must be mlp, swiglu or swiglufused: got '", c.ffn_layer, "'");
    check(c.block_chunks >= 0 && (c.block_chunks == 0 || c.depth >= c.block_chunks), "vit",
          "block_chunks must be in [0, depth]: got ", c.block_chunks);
    const int64_t grid = c.img_size / c.patch_size;
    patch_embed_ = PatchEmbed(c.patch_size, c.in_chans, c.embed_dim, generator);
    cls_token_ = normal_parameter({1, 1, c.embed_dim}, generator, 1e-6);
    pos_embed_ = trunc_normal_parameter({1, 1 + grid * grid, c.embed_dim}, generator, 0.02);
    if (c.num_register_tokens > 0)
        register_tokens_ = normal_parameter({1, c.num_register_tokens, c.embed_dim}, generator, 1e-6);
    mask_token_ = constant_parameter({1, c.embed_dim}, 0);
    for (int64_t i = 0; i < c.depth; ++i) blocks_.emplace_back(block_config(c, i), generator);
    norm_ = LayerNorm(c.embed_dim, c.norm_eps);
}

void DinoVisionTransformer::visit(const std::string& prefix, const ParameterVisitor& fn) {
    fn(prefix + "cls_token", cls_token_);
    fn(prefix + "pos_embed", pos_embed_);
    if (register_tokens_.defined()) fn(prefix + "register_tokens", register_tokens_);
    fn(prefix + "mask_token", mask_token_);
    patch_embed_.visit(prefix + "patch_embed.", fn);
    const int64_t chunk_size = config_.block_chunks > 0 ? config_.depth / config_.block_chunks : 0;
    for (size_t i = 0; i < blocks_.size(); ++i) {
        std::string name = prefix + "blocks.";
        if (chunk_size > 0) name += std::to_string(static_cast<int64_t>(i) / chunk_size) + ".";
        blocks_[i].visit(name + std::to_string(i) + ".", fn);
    }
    norm_.visit(prefix + "norm.", fn);
}

void DinoVisionTransformer::init_xavier(Generator& generator) {
    check_made(!blocks_.empty(), "vit");
    for (Block& block : blocks_) {
        block.visit("", [&](const std::string& name, Variable& p) {
            if (p.rank() != 2) return;
            // qkv is three square matrices stacked: its fan-out is D, not 3 D
            const int64_t out = name == "attn.qkv.weight" ? p.size(0) / 3 : p.size(0);
            normal(p.value(), generator, 0, std::sqrt(2.0 / static_cast<double>(out + p.size(1))));
        });
    }
}

// pos_embed for a grid of height x width patches: as it is, or resized bicubically in f32.
Variable DinoVisionTransformer::position_embedding(int64_t height, int64_t width) const {
    const int64_t count = pos_embed_.size(1) - 1, dim = config_.embed_dim;
    if (height * width == count && height == width) return pos_embed_;
    const int64_t side = config_.img_size / config_.patch_size;
    const Variable cls = slice(pos_embed_, 1, 0, 1);
    const Variable grid = reshape(slice(pos_embed_, 1, 1, 1 + count), {count, dim});
    BicubicOptions options;
    options.antialias = config_.interpolate_antialias;
    if (config_.interpolate_offset != 0) {
        options.scale_h =
            (static_cast<double>(height) + config_.interpolate_offset) / static_cast<double>(side);
        options.scale_w =
            (static_cast<double>(width) + config_.interpolate_offset) / static_cast<double>(side);
    }
    const Variable resized = interpolate_bicubic_rows(grid, side, side, height, width, options);
    return concat({cls, reshape(resized, {1, height * width, dim})}, 1);
}

Variable DinoVisionTransformer::prepare_tokens(const Variable& images, const ForwardContext& context,
                                               const Tensor& masks) const {
    check_made(!blocks_.empty(), "vit");
    const int64_t dim = config_.embed_dim;
    Variable x = cast(patch_embed_.forward(images, compute_dtype(context.precision)), DType::f32);
    const int64_t batch = x.size(0);
    const int64_t height = images.size(2) / config_.patch_size, width = images.size(3) / config_.patch_size;
    if (masks.defined()) {
        check(masks.dtype() == DType::boolean && masks.shape() == Shape({batch, height * width}), "vit",
              "masks must be bool (", batch, ", ", height * width, "): got ", describe(masks));
        x = where(masks.unsqueeze(2), mask_token_, x);
    }
    x = concat({expand(cls_token_, {batch, 1, dim}), x}, 1) + position_embedding(height, width);
    if (register_tokens_.defined()) {
        const Variable registers = expand(register_tokens_, {batch, config_.num_register_tokens, dim});
        x = concat({slice(x, 1, 0, 1), registers, slice(x, 1, 1, x.size(1))}, 1);
    }
    return x;
}

ViTOutput DinoVisionTransformer::finish(const Variable& x) const {
    const Variable normed = norm_.forward(x);
    const int64_t registers = config_.num_register_tokens, length = x.size(1);
    ViTOutput out;
    out.x_norm_clstoken = reshape(slice(normed, 1, 0, 1), {x.size(0), x.size(2)});
    out.x_norm_regtokens = slice(normed, 1, 1, 1 + registers);
    out.x_norm_patchtokens = slice(normed, 1, 1 + registers, length);
    out.x_prenorm = x;
    return out;
}

ViTOutput DinoVisionTransformer::forward_features(const Variable& images, const ForwardContext& context,
                                                  const Tensor& masks) const {
    Variable x = prepare_tokens(images, context, masks);
    for (const Block& block : blocks_) x = block.forward(x, context);
    return finish(x);
}

std::vector<ViTOutput> DinoVisionTransformer::forward_features(const std::vector<Variable>& images,
                                                               const ForwardContext& context,
                                                               const std::vector<Tensor>& masks) const {
    check(!images.empty(), "vit", "needs at least one batch of images: got an empty list");
    check(masks.empty() || masks.size() == images.size(), "vit",
          "needs no masks or one per image batch: got ", masks.size(), " for ", images.size());
    std::vector<Variable> list;
    for (size_t i = 0; i < images.size(); ++i)
        list.push_back(prepare_tokens(images[i], context, masks.empty() ? Tensor() : masks[i]));
    for (const Block& block : blocks_) list = block.forward(list, context);
    std::vector<ViTOutput> out;
    for (const Variable& x : list) out.push_back(finish(x));
    return out;
}

Variable DinoVisionTransformer::forward(const Variable& images, const ForwardContext& context) const {
    return forward_features(images, context).x_norm_clstoken;
}

std::vector<DinoVisionTransformer::Intermediate>
DinoVisionTransformer::get_intermediate_layers(const Variable& images, const ForwardContext& context,
                                               const std::vector<int64_t>& layers, bool as_map,
                                               bool norm) const {
    check_made(!blocks_.empty(), "vit");
    std::vector<bool> wanted(blocks_.size(), false);
    for (int64_t layer : layers) {
        const auto depth = static_cast<int64_t>(blocks_.size());
        check(layer >= -depth && layer < depth, "get_intermediate_layers", "layer must be in [", -depth, ", ",
              depth, "): got ", layer);
        wanted[static_cast<size_t>(layer < 0 ? layer + depth : layer)] = true;
    }
    std::vector<Intermediate> out;
    Variable x = prepare_tokens(images, context, {});
    for (size_t i = 0; i < blocks_.size(); ++i) {
        x = blocks_[i].forward(x, context);
        if (!wanted[i]) continue;
        const Variable y = norm ? norm_.forward(x) : x;
        Intermediate found;
        found.cls_token = reshape(slice(y, 1, 0, 1), {y.size(0), y.size(2)});
        found.patches = slice(y, 1, 1 + config_.num_register_tokens, y.size(1));
        if (as_map) {
            const int64_t height = images.size(2) / config_.patch_size,
                          width = images.size(3) / config_.patch_size;
            found.patches = reshape(transpose(found.patches, 1, 2), {y.size(0), y.size(2), height, width});
        }
        out.push_back(found);
    }
    return out;
}

Tensor DinoVisionTransformer::get_last_selfattention(const Tensor& images) const {
    const NoGrad no_grad;
    const ForwardContext context;
    Variable x = prepare_tokens(images, context, {});
    for (size_t i = 0; i + 1 < blocks_.size(); ++i) x = blocks_[i].forward(x, context);
    const Block& last = blocks_.back();
    return last.attn.first_token_weights(last.norm1.forward(x).value());
}

}  // namespace demi
