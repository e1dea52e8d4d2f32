#include "models/block.h"

#include <algorithm>
#include <cmath>

#include "models/nested.h"
#include "ops/dropout/drop_path.h"
#include "ops/elementwise/cast.h"
#include "ops/index/index_select.h"
#include "ops/layer_scale/layer_scale.h"
#include "ops/operators.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "ops/views/concat.h"
#include "ops/views/split.h"
#include "ops/views/views.h"

namespace demi {

static const BlockConfig& checked(const BlockConfig& c) {
    checked_size("block", "dim", c.dim);
    check(c.heads >= 1 && c.dim % c.heads == 0, "attention",
          "embed_dim must be a multiple of num_heads: got ", c.dim, " and ", c.heads);
    check(c.drop_path >= 0 && c.drop_path < 1, "block", "drop_path must be in [0, 1): got ", c.drop_path);
    const double hidden = static_cast<double>(c.dim) * c.mlp_ratio;
    check(c.ffn_hidden >= 0 && c.ffn_hidden <= INT32_MAX, "block", "ffn_hidden must lie in [0, ", INT32_MAX,
          "]: got ", c.ffn_hidden);
    check(c.ffn_hidden > 0 || (hidden >= 1 && hidden <= INT32_MAX), "block",
          "dim times mlp_ratio must lie in [1, ", INT32_MAX, "]: got ", c.dim, " times ", c.mlp_ratio);
    check(c.norm_eps > 0 && std::isfinite(c.norm_eps), "block", "norm_eps must be positive: got ",
          c.norm_eps);
    check(std::isfinite(c.init_values.value_or(0)), "block", "init_values must be finite: got ",
          c.init_values.value_or(0));
    return c;
}

SelfAttention::SelfAttention(const BlockConfig& config, Generator& generator)
    : qkv(checked(config).dim, 3 * checked(config).dim, config.qkv_bias, generator),
      proj(config.dim, config.dim, config.proj_bias, generator), heads(config.heads),
      mask_k_bias(config.mask_k_bias) {}

void SelfAttention::check_input(const Variable& x) const {
    check_made(qkv.weight.defined(), "attention");
    check(x.rank() == 3, "attention", "needs x [B, N, D]: got ", x.value());
    check(heads >= 1 && x.size(2) % heads == 0 && qkv.weight.shape() == Shape({3 * x.size(2), x.size(2)}),
          "attention", "needs x [B, N, D] with qkv.weight [3 D, D] and D a multiple of heads: got ",
          x.value(), " with ", qkv.weight.value(), " and ", heads, " heads");
}

// The bias of qkv with zeros for k, whatever k's third holds; it gets no gradient.
static Variable without_k(const Variable& bias) {
    const int64_t dim = bias.numel() / 3;
    const Variable zeros(Tensor::zeros({dim}, bias.dtype(), bias.device()));
    return concat({slice(bias, 0, 0, dim), zeros, slice(bias, 0, 2 * dim, 3 * dim)}, 0);
}

Variable SelfAttention::packed_qkv(const Variable& x, const std::vector<RopeSegment>& positions) const {
    Linear project = qkv;
    if (mask_k_bias && qkv.bias.defined()) project.bias = without_k(qkv.bias);
    const Variable packed = reshape(project.forward(x), {x.size(0), x.size(1), 3, heads, x.size(2) / heads});
    return positions.empty() ? packed : rope_in_place(packed, positions);
}

Variable SelfAttention::forward(const Variable& x, const AttentionBias& bias, const ForwardContext& context,
                                const Variable& residual, const std::vector<RopeSegment>& positions,
                                bool first_only) const {
    check_input(x);
    const int64_t batch = x.size(0), length = first_only ? 1 : x.size(1), dim = x.size(2);
    std::vector<Variable> parts = unbind(packed_qkv(x, positions), 2);
    if (first_only) parts[0] = slice(parts[0], 1, 0, 1);
    AttentionOptions options;
    options.boundary = context.boundary;
    const Variable out = memory_efficient_attention(parts[0], parts[1], parts[2], bias, options);
    const Variable joined = reshape(out, {batch, length, dim});
    return residual.defined() ? proj.forward_add(residual, joined) : proj.forward(joined);
}

void SelfAttention::visit(const std::string& prefix, const ParameterVisitor& fn) {
    qkv.visit(prefix + "qkv.", fn);
    proj.visit(prefix + "proj.", fn);
}

Block::Block(const BlockConfig& config, Generator& generator)
    : norm1(checked(config).dim, config.norm_eps), norm2(config.dim, config.norm_eps),
      attn(config, generator), use_swiglu(config.swiglu), drop_path(config.drop_path),
      drop_path_subsets(config.drop_path_subsets) {
    const bool by_ratio = config.ffn_hidden == 0;
    auto hidden = by_ratio ? static_cast<int64_t>(static_cast<double>(config.dim) * config.mlp_ratio)
                           : config.ffn_hidden;
    if (use_swiglu && by_ratio) hidden = SwiGLUFFN::hidden_size(hidden);
    if (use_swiglu)
        swiglu = SwiGLUFFN::exact(config.dim, hidden, config.ffn_bias, config.swiglu_split, generator);
    else
        mlp = Mlp(config.dim, hidden, config.ffn_bias, generator);
    if (config.init_values && *config.init_values != 0) {
        gamma1 = constant_parameter({config.dim}, *config.init_values);
        gamma2 = constant_parameter({config.dim}, *config.init_values);
    }
}

void Block::visit(const std::string& prefix, const ParameterVisitor& fn) {
    norm1.visit(prefix + "norm1.", fn);
    attn.visit(prefix + "attn.", fn);
    if (gamma1.defined()) fn(prefix + "ls1.gamma", gamma1);
    norm2.visit(prefix + "norm2.", fn);
    if (use_swiglu)
        swiglu.visit(prefix + "mlp.", fn);
    else
        mlp.visit(prefix + "mlp.", fn);
    if (gamma2.defined()) fn(prefix + "ls2.gamma", gamma2);
}

void Block::check_input(const Variable& x) const {
    check_made(norm1.weight.defined(), "block");
    check(x.rank() == 3 && x.size(2) == norm1.weight.numel(), "block", "needs x [B, N, ",
          norm1.weight.numel(), "]: got ", x.value());
    check(drop_path >= 0 && drop_path < 1, "block", "drop_path must be in [0, 1): got ", drop_path);
}

// f(norm(x)), in the compute dtype, before LayerScale.
Variable Block::residual(const Variable& x, Branch branch, const Tokens& tokens,
                         const ForwardContext& context) const {
    return after_norm(norm_of(branch).forward_as(x, compute_dtype(context.precision)), branch, tokens,
                      context);
}

// f(x) with x in the compute dtype.
Variable Block::after_norm(const Variable& x, Branch branch, const Tokens& tokens,
                           const ForwardContext& context) const {
    if (branch == Branch::attention)
        return attn.forward(x, tokens.bias, context, {}, tokens.positions, tokens.first_only);
    return use_swiglu ? swiglu.forward(x) : mlp.forward(x);
}

// y + gamma * r, in y's dtype; without gamma y + r.
static Variable add_scaled(const Variable& y, const Variable& r, const Variable& gamma) {
    if (!gamma.defined()) return y + r;
    return y.dtype() == r.dtype() ? layer_scale_add(y, r, gamma) : y + cast(r, y.dtype()) * gamma;
}

// x + gamma * f(norm(x)). Without gamma and in one dtype the branch's last product adds x as it stores.
Variable Block::add_branch(const Variable& x, Branch branch, const Tokens& tokens,
                           const ForwardContext& context) const {
    const bool attention = branch == Branch::attention;
    const DType compute = compute_dtype(context.precision);
    std::vector<Variable> both = norm_of(branch).forward_branch(x, compute);
    if (attention && tokens.first_only) both[0] = slice(both[0], 1, 0, 1);
    const Variable& gamma = gamma_of(branch);
    const bool together = !gamma.defined() && x.dtype() == compute;
    if (together && attention)
        return attn.forward(both[1], tokens.bias, context, both[0], tokens.positions, tokens.first_only);
    if (together && !use_swiglu) return mlp.forward_add(both[0], both[1]);
    return add_scaled(both[0], after_norm(both[1], branch, tokens, context), gamma);
}

// What makes up for the rows that were left out.
static double upscale(int64_t batch, int64_t kept) {
    return static_cast<double>(batch) / static_cast<double>(std::max<int64_t>(kept, 1));
}

static std::vector<RopeSegment> positions_of(const RopeGrid& grid, int64_t sequences) {
    return grid.defined() ? std::vector{grid.segment(sequences)} : std::vector<RopeSegment>();
}

static std::vector<RopeSegment> positions_of(const std::vector<RopeGrid>& grids,
                                             const BlockDiagonalMask& mask) {
    std::vector<RopeSegment> positions;
    for (size_t i = 0; i < grids.size(); ++i) positions.push_back(grids[i].segment(mask.batch_sizes()[i]));
    return positions;
}

Variable Block::add_on_subset(const Variable& x, Branch branch, const RopeGrid& grid,
                              const ForwardContext& context) const {
    const int64_t batch = x.size(0), kept = kept_rows(batch, drop_path);
    const Tensor index = drawn_rows(context, batch, kept, x.device());
    Variable r = residual(index_select(x, 0, index), branch, {{}, positions_of(grid, kept)}, context);
    if (gamma_of(branch).defined()) r = layer_scale(r, gamma_of(branch));
    // torch.index_add in the reference, in x's dtype: no fp16 boundary here.
    return scaled_index_add(x, index, r, {}, upscale(batch, kept), Boundary{.mode = BoundaryMode::off});
}

Variable Block::forward(const Variable& x, const ForwardContext& context, const RopeGrid& grid) const {
    check_input(x);
    const bool drop = context.training && drop_path > 0;
    const Tokens tokens{{}, positions_of(grid, x.size(0))};
    Variable y = x;
    for (Branch branch : {Branch::attention, Branch::ffn}) {
        if (!drop) {
            y = add_branch(y, branch, tokens, context);
        } else if (drop_path > 0.1 || drop_path_subsets) {
            y = add_on_subset(y, branch, grid, context);
        } else {
            check(context.generator != nullptr, "block",
                  "drop_path in training needs ForwardContext::generator");
            const Variable r =
                demi::drop_path(residual(y, branch, tokens, context), drop_path, *context.generator);
            y = add_scaled(y, r, gamma_of(branch));
        }
    }
    return y;
}

Variable Block::forward_first(const Variable& x, const ForwardContext& context, const RopeGrid& grid) const {
    check_input(x);
    check(x.size(1) >= 1, "block", "needs at least one token: got ", x.value());
    check(!context.training || drop_path == 0, "block", "forward_first drops nothing: got drop_path ",
          drop_path, " in training");
    const Tokens tokens{{}, positions_of(grid, x.size(0)), true};
    return add_branch(add_branch(x, Branch::attention, tokens, context), Branch::ffn, tokens, context);
}

std::vector<Variable> Block::add_on_subsets(const std::vector<Variable>& list, Branch branch,
                                            const std::vector<RopeGrid>& grids,
                                            const ForwardContext& context) const {
    std::vector<Tensor> indices;
    std::vector<double> alphas;
    for (const Variable& x : list) {
        const int64_t batch = x.size(0), kept = kept_rows(batch, drop_path);
        indices.push_back(drawn_rows(context, batch, kept, x.device()));
        alphas.push_back(upscale(batch, kept));
    }
    const Boundary boundary = context.boundary;
    const auto [bias, packed] = get_attn_bias_and_cat(list, indices, boundary);
    Tokens tokens;
    if (branch == Branch::attention) tokens = {bias, positions_of(grids, bias)};
    const Variable r = residual(packed, branch, tokens, context);
    const std::vector<Variable> parts = bias.split(r);
    std::vector<Variable> out;
    for (size_t i = 0; i < list.size(); ++i)
        out.push_back(add_residual(list[i], indices[i], parts[i], gamma_of(branch), alphas[i], boundary));
    return out;
}

std::vector<Variable> Block::forward(const std::vector<Variable>& list, const ForwardContext& context,
                                     const std::vector<RopeGrid>& grids) const {
    check(!list.empty(), "block", "needs at least one tensor: got an empty list");
    check(grids.empty() || grids.size() == list.size(), "block", "needs no grids or one for each of ",
          list.size(), " tensors: got ", grids.size());
    for (const Variable& x : list) check_input(x);
    if (context.training && drop_path > 0)
        return add_on_subsets(add_on_subsets(list, Branch::attention, grids, context), Branch::ffn, grids,
                              context);
    const auto [bias, packed] = get_attn_bias_and_cat(list);
    Variable y = packed;
    for (Branch branch : {Branch::attention, Branch::ffn}) {
        Tokens tokens;
        if (branch == Branch::attention) tokens = {bias, positions_of(grids, bias)};
        y = add_branch(y, branch, tokens, context);
    }
    return bias.split(y);
}

}  // namespace demi
