// Packing and splitting of sequences.
#include <numeric>

#include "ops/memory_efficient_attention/attention_mask.h"
#include "ops/views/concat.h"
#include "ops/views/split.h"
#include "ops/views/views.h"

namespace demi {
namespace {

constexpr const char* kPack = "BlockDiagonalMask::from_tensor_list";
constexpr const char* kSplit = "BlockDiagonalMask::split";
constexpr int64_t kMostSequences = int64_t{1} << 27;

// Another size of the first two dimensions: [B, M, ...] packed is [1, B * M, ...].
Shape with_leading(Shape shape, int64_t batch, int64_t tokens) {
    shape[0] = batch;
    shape[1] = tokens;
    return shape;
}

}  // namespace

std::pair<BlockDiagonalMask, Variable>
BlockDiagonalMask::from_tensor_list(const std::vector<Variable>& tensors) {
    check(!tensors.empty(), kPack, "needs at least one tensor: got none");
    const Tensor& first = tensors[0].value();
    std::vector<int64_t> lengths, batch_sizes, group_lengths;
    std::vector<Variable> rows;
    for (size_t i = 0; i < tensors.size(); ++i) {
        check(tensors[i].defined() && tensors[i].rank() >= 2, kPack, "needs tensors [B, M, ...]: tensor ", i,
              " is ", describe(tensors[i].value()));
        const Tensor& x = tensors[i].value();
        const bool fits = x.dtype() == first.dtype() && x.device() == first.device() &&
                          with_leading(x.shape(), 1, 1) == with_leading(first.shape(), 1, 1);
        check(fits, kPack, "tensors may differ in their first two sizes only: tensor 0 is ", describe(first),
              ", tensor ", i, " is ", describe(x));
        // Without elements sizes may be anything.
        check(x.size(0) <= kMostSequences - static_cast<int64_t>(lengths.size()), kPack, "needs at most ",
              kMostSequences, " sequences: got ", x.size(0), " more with tensor ", i, ", ", describe(x));
        lengths.insert(lengths.end(), static_cast<size_t>(x.size(0)), x.size(1));
        batch_sizes.push_back(x.size(0));
        group_lengths.push_back(x.size(1));
        const int64_t tokens = checked_mul(x.size(0), x.size(1), kPack);
        rows.push_back(reshape(tensors[i], with_leading(x.shape(), 1, tokens)));
    }
    BlockDiagonalMask mask = from_seqlens(std::move(lengths));
    mask.set_batch_sizes(std::move(batch_sizes), std::move(group_lengths));
    return {std::move(mask), concat(rows, 1)};
}

std::vector<Variable> BlockDiagonalMask::split(const Variable& packed, const std::vector<int64_t>& lengths,
                                               const char* what) const {
    const int64_t total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
    check(packed.defined() && packed.rank() >= 2 && packed.size(0) == 1 && packed.size(1) == total, kSplit,
          "needs packed ", what, " (1, ", total, ", ...): got ",
          packed.defined() ? describe(packed.value()) : "nothing");
    std::vector<Shape> shapes;
    std::vector<int64_t> tokens;
    size_t sequence = 0;
    for (size_t group = 0; group < batch_sizes_.size(); ++group) {
        const int64_t batch = batch_sizes_[group];
        const int64_t length = batch > 0                ? lengths[sequence]
                               : group_lengths_.empty() ? 0
                                                        : group_lengths_[group];
        shapes.push_back(with_leading(packed.shape(), batch, length));
        tokens.push_back(batch * length);
        sequence += static_cast<size_t>(batch);
    }
    if (tokens.empty()) return {};
    std::vector<Variable> parts = demi::split(packed, tokens, 1);
    for (size_t i = 0; i < parts.size(); ++i) parts[i] = reshape(parts[i], shapes[i]);
    return parts;
}

std::vector<Variable> BlockDiagonalMask::split(const Variable& packed) const {
    check(q_ == kv_, kSplit,
          "queries and keys of this mask have different lengths: say split_queries or split_kv");
    return split(packed, q_, "tokens");
}
std::vector<Variable> BlockDiagonalMask::split_queries(const Variable& packed) const {
    return split(packed, q_, "queries");
}
std::vector<Variable> BlockDiagonalMask::split_kv(const Variable& packed) const {
    return split(packed, kv_, "keys");
}

}  // namespace demi
