#pragma once
// Masks of memory_efficient_attention. Each gives every query one run of keys [begin, end); a query
// whose run is empty gives 0. With Mq queries, Mk keys and d = Mk - Mq (the shift that puts the
// last query on the last key):
//   LowerTriangularMask                               j <= i
//   LowerTriangularFromBottomRightMask                j <= i + d
//   LowerTriangularFromBottomRightLocalAttentionMask  i + d - window < j <= i + d
//   LocalAttentionFromBottomRightMask                 i + d - left <= j <= i + d + right
//   BlockDiagonalMask                                 block i sees block i, of sequences packed one after
//                                                     the other
#include <utility>

#include "autograd/variable.h"
#include "ops/memory_efficient_attention/attention_segment.h"

namespace demi {

struct LowerTriangularMask {};
struct LowerTriangularFromBottomRightMask {};
struct LowerTriangularFromBottomRightLocalAttentionMask {
    int64_t window = 1;
};
struct LocalAttentionFromBottomRightMask {
    int64_t left = 0, right = 0;
};

// What one block of queries sees of one block of keys.
struct AttentionPattern {
    bool bottom_right = false;      // positions count from the ends
    int64_t left = -1, right = -1;  // how many keys before and after its own a query sees; -1: all
    std::string name = "no mask";

    AttentionSegment segment(int64_t q_begin, int64_t q_end, int64_t k_begin, int64_t k_end) const;
};

// Sequences of different lengths packed into one [1, sum of lengths, H, K] tensor, so that
// one call serves them all.
class BlockDiagonalMask {
  public:
    // Lengths of the sequences of q, and of k and v where they differ. Lengths may be
    // 0; together at most 2^40.
    static BlockDiagonalMask from_seqlens(std::vector<int64_t> q, std::vector<int64_t> kv = {});
    // Packs tensors [B_i, M_i, ...] into [1, sum B_i * M_i, ...]: B_i sequences of length M_i each; any of
    // them may be empty, at least one is needed. split() undoes it, shapes of empty tensors included.
    static std::pair<BlockDiagonalMask, Variable> from_tensor_list(const std::vector<Variable>& tensors);

    // The parts of a packed [1, total, ...] as [B_i, M_i, ...]; views where memory allows. split() needs q
    // and kv of one kind.
    std::vector<Variable> split(const Variable& packed) const;
    std::vector<Variable> split_queries(const Variable& packed) const;
    std::vector<Variable> split_kv(const Variable& packed) const;

    // How split() groups neighbouring sequences (of equal length): group i has batch_sizes[i].
    // Default: groups of one. A group of no sequences comes out as [0, length, ...]; lengths, one per
    // group, say which (default 0).
    void set_batch_sizes(std::vector<int64_t> batch_sizes, std::vector<int64_t> lengths = {});
    const std::vector<int64_t>& batch_sizes() const { return batch_sizes_; }

    BlockDiagonalMask make_causal() const;                   // top left corner of each block
    BlockDiagonalMask make_causal_from_bottomright() const;  // bottom right corner of each block
    // Causal, and each query sees the last `window` keys up to its own position.
    BlockDiagonalMask make_local_attention(int64_t window) const;
    BlockDiagonalMask make_local_attention_from_bottomright(int64_t window) const;

    const std::vector<int64_t>& q_seqlens() const { return q_; }
    const std::vector<int64_t>& kv_seqlens() const { return kv_; }
    int64_t total_queries() const;
    int64_t total_keys() const;
    const AttentionPattern& pattern() const { return pattern_; }

  private:
    BlockDiagonalMask causal(bool bottom_right, int64_t left, const char* name) const;
    std::vector<Variable> split(const Variable& packed, const std::vector<int64_t>& lengths,
                                const char* what) const;

    std::vector<int64_t> q_, kv_, batch_sizes_;
    std::vector<int64_t> group_lengths_;  // empty, or of each group: what one without sequences is split into
    AttentionPattern pattern_;
};

// What attention adds to the scores: nothing, a mask, a tensor, or a mask and a tensor.
//
// The tensor broadcasts to [B, H, Mq, Mk] from the right, as in PyTorch: [Mq, Mk], [H, 1, Mk], [B, 1, 1, Mk]
// and so on, read where it lies; its gradient is summed over what was stretched. For q, k, v of rank 3 it
// broadcasts to [B, Mq, Mk] (or is [B, 1, Mq, Mk]). A float tensor is added to the scores; in a bool tensor
// true means that the query may attend to the key (as in scaled_dot_product_attention), it crosses no
// boundary and has no gradient.
class AttentionBias {
  public:
    AttentionBias() = default;
    AttentionBias(LowerTriangularMask);
    AttentionBias(LowerTriangularFromBottomRightMask);
    AttentionBias(LowerTriangularFromBottomRightLocalAttentionMask);
    AttentionBias(LocalAttentionFromBottomRightMask);
    AttentionBias(BlockDiagonalMask mask);
    AttentionBias(Variable tensor);
    AttentionBias(Tensor tensor) : AttentionBias(Variable(std::move(tensor))) {}

    AttentionBias add_bias(Variable tensor) const;  // this mask and a tensor; not for block-diagonal masks

    const Variable& tensor() const { return tensor_; }
    bool is_block_diagonal() const { return block_diagonal_; }
    std::string describe() const;

    // The mask cut for q [., queries, ., .] and k [., keys, ., .]; throws where a
    // block-diagonal mask has other lengths.
    std::vector<AttentionSegment> segments(int64_t batch, int64_t queries, int64_t keys) const;
    // The mask as a tensor [queries, keys] of 0 and -infinity, for references and small demonstrations.
    Tensor materialize(int64_t queries, int64_t keys) const;

  private:
    AttentionPattern pattern_;
    BlockDiagonalMask blocks_;
    bool block_diagonal_ = false;
    Variable tensor_;
};

}  // namespace demi
