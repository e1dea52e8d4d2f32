#pragma once
// The transformer block of DINOv2 and DINOv3 (dinov2/layers/block.py), on one tensor or on a list of tensors of
// different lengths; batches and sequences may be empty. Which path runs:
//   not training, or drop_path 0     x += ls1(attn(norm1 x)); x += ls2(ffn(norm2 x))
//   tensor, 0 < drop_path <= 0.1     the same with a per-sample drop of each residual
//   tensor, drop_path > 0.1          each residual is computed on a random subset of the batch and added
//                                    back at its rows, times batch / subset
//   tensor, drop_path_subsets      the same for every drop_path > 0 (DINOv3)
//   list, any drop_path > 0          the subsets of all tensors are packed into one sequence:
//                                    index_select_cat, block-diagonal attention, scaled_index_add
#include <optional>

#include "models/layers.h"
#include "models/rope_embed.h"
#include "ops/memory_efficient_attention/memory_efficient_attention.h"

namespace demi {

struct BlockConfig {
    int64_t dim = 384;
    int64_t heads = 6;
    double mlp_ratio = 4;
    bool qkv_bias = true, proj_bias = true, ffn_bias = true;
    double drop_path = 0;
    std::optional<double> init_values;  // LayerScale, where set and not zero
    bool swiglu = false;
    double norm_eps = 1e-6;
    int64_t ffn_hidden = 0;     // 0: dim mlp_ratio, of which SwiGLU takes 2/3
    bool swiglu_split = false;  // w1 and w2 instead of w12
    bool mask_k_bias = false;   // the third of qkv's bias that belongs to k counts as 0
    bool drop_path_subsets = false;
};

// qkv, with positions rope on q and k, memory_efficient_attention over heads of size D / h, proj.
struct SelfAttention {
    Linear qkv, proj;
    int64_t heads = 0;
    bool mask_k_bias = false;

    SelfAttention() = default;
    SelfAttention(const BlockConfig& config, Generator& generator);
    // x [B, N, D]; `bias` as memory_efficient_attention takes it.
    // With a residual (of x's dtype): residual + the result, in one pass. With `first_only` the result, like the residual,
    // is that of the first token: [B, 1, D].
    Variable forward(const Variable& x, const AttentionBias& bias, const ForwardContext& context,
                     const Variable& residual = {}, const std::vector<RopeSegment>& positions = {},
                     bool first_only = false) const;
    // Softmax weights of the first token's query: [B, heads, N], f32, without a graph. For looking at.
    Tensor first_token_weights(const Tensor& x, const RopeGrid& grid = {}) const;
    void visit(const std::string& prefix, const ParameterVisitor& fn);

  private:
    void check_input(const Variable& x) const;
    Variable packed_qkv(const Variable& x,
                        const std::vector<RopeSegment>& positions) const;  // [B, N, 3, h, D / h]
};

struct Block {
    LayerNorm norm1, norm2;
    SelfAttention attn;
    Variable gamma1, gamma2;  // LayerScale, "ls1.gamma" and "ls2.gamma"; undefined without
    Mlp mlp;
    SwiGLUFFN swiglu;
    bool use_swiglu = false;
    double drop_path = 0;
    bool drop_path_subsets = false;

    Block() = default;
    Block(const BlockConfig& config, Generator& generator);
    // The grid, or one for each tensor of the list, says where tokens are; empty: they have no positions here.
    Variable forward(const Variable& x, const ForwardContext& context, const RopeGrid& grid = {}) const;
    // The first token of that, [B, 1, D], where nothing is dropped: most of the others' work is left out.
    Variable forward_first(const Variable& x, const ForwardContext& context, const RopeGrid& grid = {}) const;
    std::vector<Variable> forward(const std::vector<Variable>& list, const ForwardContext& context,
                                  const std::vector<RopeGrid>& grids = {}) const;
    void visit(const std::string& prefix, const ParameterVisitor& fn);

  private:
    enum class Branch { attention, ffn };
    // What attention needs to know of its tokens.
    struct Tokens {
        AttentionBias bias;
        std::vector<RopeSegment> positions;
        bool first_only = false;
    };
    void check_input(const Variable& x) const;
    const LayerNorm& norm_of(Branch branch) const { return branch == Branch::attention ? norm1 : norm2; }
    const Variable& gamma_of(Branch branch) const { return branch == Branch::attention ? gamma1 : gamma2; }
    Variable residual(const Variable& x, Branch branch, const Tokens& tokens,
                      const ForwardContext& context) const;
    Variable after_norm(const Variable& x, Branch branch, const Tokens& tokens,
                        const ForwardContext& context) const;
    Variable add_branch(const Variable& x, Branch branch, const Tokens& tokens,
                        const ForwardContext& context) const;
    Variable add_on_subset(const Variable& x, Branch branch, const RopeGrid& grid,
                           const ForwardContext& context) const;
    std::vector<Variable> add_on_subsets(const std::vector<Variable>& list, Branch branch,
                                         const std::vector<RopeGrid>& grids,
                                         const ForwardContext& context) const;
};

}  // namespace demi
