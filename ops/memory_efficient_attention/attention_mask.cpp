#include "ops/memory_efficient_attention/attention_mask.h"

#include <algorithm>
#include <limits>

namespace demi {
namespace {

constexpr const char* kMaskOp = "memory_efficient_attention";

// How many keys before its own a query sees.
int64_t left_of(int64_t window) {
    check(window >= 1, kMaskOp, "window must be at least 1: got ", window);
    return window - 1;
}

// Within these no sum or difference of positions and windows leaves 64 bits.
constexpr int64_t kLongest = kAttentionNoBound;

// Their sum; throws where a length is negative or the sum beyond kLongest.
int64_t sum(const std::vector<int64_t>& lengths) {
    int64_t total = 0;
    for (const int64_t n : lengths) {
        check(n >= 0, kMaskOp, "lengths of a BlockDiagonalMask must not be negative: got ", n);
        check(n <= kLongest - total, kMaskOp, "lengths of a BlockDiagonalMask must add up to at most ",
              kLongest, ": got ", n, " after ", total);
        total += n;
    }
    return total;
}

}  // namespace

AttentionSegment AttentionPattern::segment(int64_t q_begin, int64_t q_end, int64_t k_begin,
                                           int64_t k_end) const {
    check(0 <= q_begin && q_begin <= q_end && q_end <= kLongest && 0 <= k_begin && k_begin <= k_end &&
              k_end <= kLongest,
          kMaskOp, "queries and keys must be ranges within ", kLongest, ": got queries [", q_begin, ", ",
          q_end, "), keys [", k_begin, ", ", k_end, ")");
    AttentionSegment s{q_begin, q_end, k_begin, k_end};
    const int64_t shift = bottom_right ? (k_end - k_begin) - (q_end - q_begin) : 0;
    if (left >= 0) s.low = shift - std::min(left, kAttentionNoBound);
    if (right >= 0) s.high = shift + std::min(right, kAttentionNoBound) + 1;
    return s;
}

BlockDiagonalMask BlockDiagonalMask::from_seqlens(std::vector<int64_t> q, std::vector<int64_t> kv) {
    BlockDiagonalMask mask;
    mask.q_ = std::move(q);
    mask.kv_ = kv.empty() ? mask.q_ : std::move(kv);
    check(mask.q_.size() == mask.kv_.size(), kMaskOp,
          "a BlockDiagonalMask needs as many key as query sequences: got ", mask.q_.size(), " query and ",
          mask.kv_.size(), " key sequences");
    for (const auto* lengths : {&mask.q_, &mask.kv_}) (void)sum(*lengths);
    mask.batch_sizes_.assign(mask.q_.size(), 1);
    mask.pattern_.name = "BlockDiagonalMask";
    return mask;
}

int64_t BlockDiagonalMask::total_queries() const { return sum(q_); }
int64_t BlockDiagonalMask::total_keys() const { return sum(kv_); }

void BlockDiagonalMask::set_batch_sizes(std::vector<int64_t> batch_sizes, std::vector<int64_t> lengths) {
    check(lengths.empty() || lengths.size() == batch_sizes.size(), kMaskOp,
          "needs one length for each of the ", batch_sizes.size(), " groups: got ", lengths.size());
    const auto all = static_cast<int64_t>(q_.size());
    int64_t first = 0;
    for (size_t group = 0; group < batch_sizes.size(); ++group) {
        const int64_t n = batch_sizes[group];
        check(n >= 0, kMaskOp, "batch sizes must not be negative: got ", n);
        check(n <= all - first, kMaskOp, "batch sizes must add up to the ", all,
              " sequences of the mask: got ", n, " after ", first);
        const auto at = static_cast<size_t>(first), end = static_cast<size_t>(first + n);
        for (size_t i = at; i < end; ++i)
            check(q_[i] == q_[at] && kv_[i] == kv_[at], kMaskOp,
                  "sequences of one batch must have one length: sequence ", at, " has ", q_[at],
                  " queries and ", kv_[at], " keys, sequence ", i, " has ", q_[i], " and ", kv_[i]);
        if (!lengths.empty())
            check(n > 0 ? lengths[group] == q_[at] : lengths[group] >= 0, kMaskOp, "length ", lengths[group],
                  " of group ", group, " does not fit its ", n, " sequences");
        first += n;
    }
    check(first == all, kMaskOp, "batch sizes must add up to the ", all,
          " sequences of the mask: they add up to ", first);
    batch_sizes_ = std::move(batch_sizes);
    group_lengths_ = std::move(lengths);
}

BlockDiagonalMask BlockDiagonalMask::causal(bool bottom_right, int64_t left, const char* name) const {
    BlockDiagonalMask mask = *this;
    mask.pattern_ = {bottom_right, left, 0, name};
    return mask;
}
BlockDiagonalMask BlockDiagonalMask::make_causal() const {
    return causal(false, -1, "BlockDiagonalCausalMask");
}
BlockDiagonalMask BlockDiagonalMask::make_causal_from_bottomright() const {
    return causal(true, -1, "BlockDiagonalCausalFromBottomRightMask");
}
BlockDiagonalMask BlockDiagonalMask::make_local_attention(int64_t window) const {
    return causal(false, left_of(window), "BlockDiagonalCausalLocalAttentionMask");
}
BlockDiagonalMask BlockDiagonalMask::make_local_attention_from_bottomright(int64_t window) const {
    return causal(true, left_of(window), "BlockDiagonalCausalLocalAttentionFromBottomRightMask");
}

AttentionBias::AttentionBias(LowerTriangularMask) : pattern_{false, -1, 0, "LowerTriangularMask"} {}
AttentionBias::AttentionBias(LowerTriangularFromBottomRightMask)
    : pattern_{true, -1, 0, "LowerTriangularFromBottomRightMask"} {}
AttentionBias::AttentionBias(LowerTriangularFromBottomRightLocalAttentionMask m)
    : pattern_{true, left_of(m.window), 0, "LowerTriangularFromBottomRightLocalAttentionMask"} {}
AttentionBias::AttentionBias(LocalAttentionFromBottomRightMask m)
    : pattern_{true, m.left, m.right, "LocalAttentionFromBottomRightMask"} {
    check(m.left >= 0 && m.right >= 0, kMaskOp, "a local window must not be negative: got left ", m.left,
          ", right ", m.right);
}
AttentionBias::AttentionBias(BlockDiagonalMask mask)
    : pattern_(mask.pattern()), blocks_(std::move(mask)), block_diagonal_(true) {}
AttentionBias::AttentionBias(Variable tensor) : tensor_(std::move(tensor)) {
    check(tensor_.defined(), kMaskOp, "the tensor bias is undefined");
}

AttentionBias AttentionBias::add_bias(Variable tensor) const {
    check(!block_diagonal_, kMaskOp, "a tensor bias goes with dense masks only: got a ", pattern_.name);
    check(!tensor_.defined(), kMaskOp, "there is a tensor bias already");
    AttentionBias both(std::move(tensor));
    both.pattern_ = pattern_;
    return both;
}

std::string AttentionBias::describe() const {
    if (!tensor_.defined()) return pattern_.name;
    return (pattern_.left < 0 && pattern_.right < 0 ? "" : pattern_.name + " and ") + "tensor " +
           demi::describe(tensor_.value());
}

std::vector<AttentionSegment> AttentionBias::segments(int64_t batch, int64_t queries, int64_t keys) const {
    check(0 <= queries && queries <= kLongest && 0 <= keys && keys <= kLongest, kMaskOp, "needs at most ",
          kLongest, " queries and keys: got ", queries, " and ", keys);
    if (!block_diagonal_) return {pattern_.segment(0, queries, 0, keys)};
    check(batch == 1, kMaskOp, "a ", pattern_.name,
          " needs q, k, v packed into batch size 1: got batch size ", batch);
    check(blocks_.total_queries() == queries && blocks_.total_keys() == keys, kMaskOp, "the ", pattern_.name,
          " must cover q and k exactly: its ", blocks_.q_seqlens().size(), " sequences have ",
          blocks_.total_queries(), " queries and ", blocks_.total_keys(), " keys, q has ", queries,
          " and k has ", keys);
    std::vector<AttentionSegment> segments;
    int64_t q = 0, k = 0;
    for (size_t i = 0; i < blocks_.q_seqlens().size(); ++i) {
        const int64_t mq = blocks_.q_seqlens()[i], mk = blocks_.kv_seqlens()[i];
        segments.push_back(pattern_.segment(q, q + mq, k, k + mk));
        q += mq;
        k += mk;
    }
    return segments;
}

Tensor AttentionBias::materialize(int64_t queries, int64_t keys) const {
    Tensor mask = Tensor::full({queries, keys}, -std::numeric_limits<double>::infinity());
    if (mask.numel() == 0) return mask;
    float* to = mask.mutable_data<float>();
    for (const AttentionSegment& s : segments(1, queries, keys))
        for (int64_t i = 0; i < s.queries(); ++i) {
            const int64_t begin = std::clamp<int64_t>(i + s.low, 0, s.keys()),
                          end = std::clamp<int64_t>(i + s.high, begin, s.keys());
            float* row = to + (s.q_begin + i) * keys + s.k_begin;
            std::fill(row + begin, row + end, 0.f);
        }
    return mask;
}

}  // namespace demi
