#include "models/vision_transformer.h"

#include <cmath>

#include "autograd/grad_mode.h"
#include "models/positions.h"
#include "ops/elementwise/cast.h"
#include "ops/elementwise/where.h"
#include "ops/operators.h"
#include "ops/views/concat.h"
#include "ops/views/views.h"

namespace demi {

static BlockConfig block_config(const ViTConfig& c, int64_t layer) {
    const double last = static_cast<double>(c.depth - 1);
    const double rate = c.drop_path_uniform || c.depth == 1
                            ? (c.drop_path_uniform ? c.drop_path_rate : 0)
                            : c.drop_path_rate * static_cast<double>(layer) / last;
    return {.dim = c.embed_dim,
            .heads = c.num_heads,
            .mlp_ratio = c.mlp_ratio,
            .qkv_bias = c.qkv_bias,
            .proj_bias = c.proj_bias,
            .ffn_bias = c.ffn_bias,
            .drop_path = rate,
            .init_values = c.init_values,
            .swiglu = c.ffn_layer != "mlp",
            .norm_eps = c.norm_eps,
            .ffn_hidden = c.ffn_hidden,
            .swiglu_split = c.ffn_layer == "swiglu_split",
            .mask_k_bias = c.mask_k_bias,
            .drop_path_subsets = c.drop_path_subsets};
}

DinoVisionTransformer::DinoVisionTransformer(const ViTConfig& config, Generator& generator)
    : config_(config) {
    const ViTConfig& c = config_;
    checked_size("vit", "img_size", c.img_size);
    check(c.img_size % checked_size("vit", "patch_size", c.patch_size) == 0 || c.rope, "vit",
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
    check(c.ffn_layer == "mlp" || c.ffn_layer == "swiglu" || c.ffn_layer == "swiglufused" ||
              c.ffn_layer == "swiglu_split",
          "vit", "ffn_layer must be mlp, swiglu, swiglufused or swiglu_split: got '", c.ffn_layer, "'");
    check(c.block_chunks >= 0 && (c.block_chunks == 0 || c.depth >= c.block_chunks), "vit",
          "block_chunks must be in [0, depth]: got ", c.block_chunks);
    const int64_t grid = c.img_size / c.patch_size;
    const double token_std = c.rope ? 0.02 : 1e-6;
    patch_embed_ = PatchEmbed(c.patch_size, c.in_chans, c.embed_dim, generator);
    cls_token_ = normal_parameter({1, 1, c.embed_dim}, generator, token_std);
    if (!c.rope) pos_embed_ = trunc_normal_parameter({1, 1 + grid * grid, c.embed_dim}, generator, 0.02);
    if (c.num_register_tokens > 0)
        register_tokens_ = normal_parameter({1, c.num_register_tokens, c.embed_dim}, generator, token_std);
    mask_token_ = constant_parameter({1, c.embed_dim}, 0);
    for (int64_t i = 0; i < c.depth; ++i) blocks_.emplace_back(block_config(c, i), generator);
    norm_ = LayerNorm(c.embed_dim, c.norm_eps);
    if (c.cls_norm) cls_norm_ = LayerNorm(c.embed_dim, c.norm_eps);
    if (c.local_cls_norm) local_cls_norm_ = LayerNorm(c.embed_dim, c.norm_eps);
    if (c.rope) check_rope(*c.rope, c.embed_dim / c.num_heads);
}

void DinoVisionTransformer::visit(const std::string& prefix, const ParameterVisitor& fn) {
    fn(prefix + "cls_token", cls_token_);
    if (pos_embed_.defined()) fn(prefix + "pos_embed", pos_embed_);
    if (register_tokens_.defined())
        fn(prefix + (config_.rope ? "storage_tokens" : "register_tokens"), register_tokens_);
    fn(prefix + "mask_token", mask_token_);
    patch_embed_.visit(prefix + "patch_embed.", fn);
    const int64_t chunk_size = config_.block_chunks > 0 ? config_.depth / config_.block_chunks : 0;
    for (size_t i = 0; i < blocks_.size(); ++i) {
        std::string name = prefix + "blocks.";
        if (chunk_size > 0) name += std::to_string(static_cast<int64_t>(i) / chunk_size) + ".";
        blocks_[i].visit(name + std::to_string(i) + ".", fn);
    }
    norm_.visit(prefix + "norm.", fn);
    if (config_.cls_norm) cls_norm_.visit(prefix + "cls_norm.", fn);
    if (config_.local_cls_norm) local_cls_norm_.visit(prefix + "local_cls_norm.", fn);
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
    const int64_t count = pos_embed_.size(1) - 1;
    if (height * width == count && height == width) return pos_embed_;
    return resize_positions(pos_embed_, height, width, config_.interpolate_antialias,
                            config_.interpolate_offset);
}

// Images without what is left over beside whole patches.
static Variable whole_patches(const Variable& images, int64_t patch) {
    if (images.rank() != 4 || (images.size(2) % patch == 0 && images.size(3) % patch == 0)) return images;
    return slice(slice(images, 2, 0, images.size(2) / patch * patch), 3, 0, images.size(3) / patch * patch);
}

Variable DinoVisionTransformer::prepare_tokens(const Variable& images, const ForwardContext& context,
                                               const Tensor& masks) const {
    check_made(!blocks_.empty(), "vit");
    const int64_t dim = config_.embed_dim;
    const Variable whole = config_.rope ? whole_patches(images, config_.patch_size) : images;
    Variable x = cast(patch_embed_.forward(whole, compute_dtype(context.precision)), DType::f32);
    const int64_t batch = x.size(0);
    const int64_t height = images.size(2) / config_.patch_size, width = images.size(3) / config_.patch_size;
    if (masks.defined()) {
        check(masks.dtype() == DType::boolean && masks.shape() == Shape({batch, height * width}), "vit",
              "masks must be bool (", batch, ", ", height * width, "): got ", describe(masks));
        x = where(masks.unsqueeze(2), mask_token_, x);
    }
    const Variable cls = expand(cls_token_, {batch, 1, dim});
    const Variable registers = register_tokens_.defined()
                                   ? expand(register_tokens_, {batch, config_.num_register_tokens, dim})
                                   : Variable();
    if (config_.rope)
        return concat(registers.defined() ? std::vector{cls, registers, x} : std::vector{cls, x}, 1);
    x = concat({cls, x}, 1) + position_embedding(height, width);
    if (registers.defined()) x = concat({slice(x, 1, 0, 1), registers, slice(x, 1, 1, x.size(1))}, 1);
    return x;
}

RopeGrid DinoVisionTransformer::rope_grid(const Variable& images, const ForwardContext& context) const {
    if (!config_.rope) return {};
    const int64_t patch = config_.patch_size;
    return {rope_table(*config_.rope, config_.embed_dim / config_.num_heads, images.size(2) / patch,
                       images.size(3) / patch, context, images.device()),
            1 + config_.num_register_tokens};
}

// The final norm: class and register tokens may have one of their own.
Variable DinoVisionTransformer::normed(const Variable& x, bool local) const {
    local = local && config_.local_cls_norm;
    if (!local && !config_.cls_norm) return norm_.forward(x);
    const int64_t prefix = 1 + config_.num_register_tokens;
    return concat({(local ? local_cls_norm_ : cls_norm_).forward(slice(x, 1, 0, prefix)),
                   norm_.forward(slice(x, 1, prefix, x.size(1)))},
                  1);
}

ViTOutput DinoVisionTransformer::finish(const Variable& x, bool local) const {
    const Variable y = normed(x, local);
    const int64_t registers = config_.num_register_tokens, length = x.size(1);
    ViTOutput out;
    out.x_norm_clstoken = reshape(slice(y, 1, 0, 1), {x.size(0), x.size(2)});
    out.x_norm_regtokens = slice(y, 1, 1, 1 + registers);
    out.x_norm_patchtokens = slice(y, 1, 1 + registers, length);
    out.x_prenorm = x;
    return out;
}

ViTOutput DinoVisionTransformer::forward_features(const Variable& images, const ForwardContext& context,
                                                  const Tensor& masks) const {
    Variable x = prepare_tokens(images, context, masks);
    RopeGrid grid;
    for (const Block& block : blocks_) {
        if (!grid.defined() || draws(context)) grid = rope_grid(images, context);
        x = context.in_unit(block, [&] { return block.forward(x, context, grid); });
    }
    return finish(x, false);
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
    std::vector<RopeGrid> grids;
    for (const Block& block : blocks_) {
        if (config_.rope && (grids.empty() || draws(context))) {
            grids.clear();
            for (const Variable& x : images) grids.push_back(rope_grid(x, context));
        }
        list = context.in_unit(block, [&] { return block.forward(list, context, grids); });
    }
    std::vector<ViTOutput> out;
    for (const Variable& x : list) out.push_back(finish(x, context.training && out.size() == 1));
    return out;
}

Variable DinoVisionTransformer::forward(const Variable& images, const ForwardContext& context) const {
    if (context.training || grad_enabled()) return forward_features(images, context).x_norm_clstoken;
    Variable x = prepare_tokens(images, context, {});
    const RopeGrid grid = rope_grid(images, context);
    for (const Block& block : blocks_)
        x = context.in_unit(block, [&] {
            return &block == &blocks_.back() ? block.forward_first(x, context, grid)
                                             : block.forward(x, context, grid);
        });
    return reshape((config_.cls_norm ? cls_norm_ : norm_).forward(x), {x.size(0), x.size(2)});
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
    RopeGrid grid;
    for (size_t i = 0; i < blocks_.size(); ++i) {
        if (!grid.defined() || draws(context)) grid = rope_grid(images, context);
        x = context.in_unit(blocks_[i], [&] { return blocks_[i].forward(x, context, grid); });
        if (!wanted[i]) continue;
        const Variable y = norm ? normed(x, false) : x;
        Intermediate found;
        found.cls_token = reshape(slice(y, 1, 0, 1), {y.size(0), y.size(2)});
        found.registers = slice(y, 1, 1, 1 + config_.num_register_tokens);
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
    const RopeGrid grid = rope_grid(images, context);
    for (size_t i = 0; i + 1 < blocks_.size(); ++i) x = blocks_[i].forward(x, context, grid);
    const Block& last = blocks_.back();
    return last.attn.first_token_weights(last.norm1.forward(x).value(), grid);
}

}  // namespace demi
