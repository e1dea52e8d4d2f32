// Packing and splitting of sequences, as graph nodes.
#include <numeric>

#include "autograd/record.h"
#include "ops/memory_efficient_attention/attention_mask.h"
#include "runtime/check.h"
#include "runtime/copy.h"

namespace demi {
namespace {

constexpr const char* kPack = "BlockDiagonalMask::from_tensor_list";
constexpr const char* kSplit = "BlockDiagonalMask::split";
constexpr int64_t kMostSequences = int64_t{1} << 27;

// [B, M, ...] -> [1, B * M, ...] and back.
Shape packed_shape(const Shape& shape, int64_t tokens) {
    Shape s = shape;
    s[0] = 1;
    s[1] = tokens;
    return s;
}
Shape part_shape(const Shape& packed, int64_t batch, int64_t length) {
    Shape s = packed;
    s[0] = batch;
    s[1] = length;
    return s;
}

}  // namespace

std::pair<BlockDiagonalMask, Variable>
BlockDiagonalMask::from_tensor_list(const std::vector<Variable>& tensors) {
    check(!tensors.empty(), kPack, "needs at least one tensor: got none");
    const Tensor& first = tensors[0].value();
    std::vector<int64_t> lengths, batch_sizes, group_lengths;
    std::vector<Shape> shapes;
    int64_t total = 0;
    for (size_t i = 0; i < tensors.size(); ++i) {
        check(tensors[i].defined() && tensors[i].rank() >= 2, kPack, "needs tensors [B, M, ...]: tensor ", i,
              " is ", describe(tensors[i].value()));
        const Tensor& x = tensors[i].value();
        const bool fits = x.dtype() == first.dtype() && x.device() == first.device() &&
                          packed_shape(x.shape(), 1) == packed_shape(first.shape(), 1);
        check(fits, kPack, "tensors may differ in their first two sizes only: tensor 0 is ", describe(first),
              ", tensor ", i, " is ", describe(x));
        // Without elements sizes may be anything.
        check(x.size(0) <= kMostSequences - static_cast<int64_t>(lengths.size()), kPack, "needs at most ",
              kMostSequences, " sequences: got ", x.size(0), " more with tensor ", i, ", ", describe(x));
        lengths.insert(lengths.end(), static_cast<size_t>(x.size(0)), x.size(1));
        batch_sizes.push_back(x.size(0));
        group_lengths.push_back(x.size(1));
        shapes.push_back(x.shape());
        total = checked_add(total, checked_mul(x.size(0), x.size(1), kPack), kPack);
    }
    Tensor packed = Tensor::empty(packed_shape(first.shape(), total), first.dtype(), first.device());
    int64_t at = 0;
    for (const Variable& x : tensors) {
        const int64_t tokens = x.size(0) * x.size(1);
        copy(packed.slice(1, at, at + tokens).view(x.shape()), x.value());
        at += tokens;
    }
    BlockDiagonalMask mask = from_seqlens(std::move(lengths));
    mask.set_batch_sizes(std::move(batch_sizes), std::move(group_lengths));
    Variable y =
        record("block_diagonal_pack", tensors, packed, [shapes](const Tensor& grad, const Needs& needs) {
            Tensors grads(shapes.size());
            int64_t begin = 0;
            for (size_t i = 0; i < shapes.size(); ++i) {
                const int64_t tokens = shapes[i][0] * shapes[i][1];
                if (needs[i]) grads[i] = grad.slice(1, begin, begin + tokens).reshape(shapes[i]);
                begin += tokens;
            }
            return grads;
        });
    return {std::move(mask), std::move(y)};
}

std::vector<Variable> BlockDiagonalMask::split(const Variable& packed, const std::vector<int64_t>& lengths,
                                               const char* what) const {
    const int64_t total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
    check(packed.defined() && packed.rank() >= 2 && packed.size(0) == 1 && packed.size(1) == total, kSplit,
          "needs packed ", what, " (1, ", total, ", ...): got ",
          packed.defined() ? describe(packed.value()) : "nothing");
    Tensors parts;
    size_t sequence = 0;
    int64_t at = 0;
    for (size_t group = 0; group < batch_sizes_.size(); ++group) {
        const int64_t batch = batch_sizes_[group];
        const int64_t length = batch > 0                ? lengths[sequence]
                               : group_lengths_.empty() ? 0
                                                        : group_lengths_[group];
        parts.push_back(packed.value()
                            .slice(1, at, at + batch * length)
                            .reshape(part_shape(packed.shape(), batch, length)));
        at += batch * length;
        sequence += static_cast<size_t>(batch);
    }
    if (parts.empty()) return {};
    std::vector<Shape> shapes;
    for (const Tensor& part : parts) shapes.push_back(part.shape());
    const Tensor& x = packed.value();
    return record("block_diagonal_split", {packed}, parts,
                  [shapes, shape = x.shape(), dtype = x.dtype(),
                   device = x.device()](std::span<const Tensor> grads, const Needs&) -> Tensors {
                      Tensor grad = Tensor::empty(shape, dtype, device);
                      int64_t begin = 0;
                      for (size_t i = 0; i < shapes.size(); ++i) {
                          const int64_t tokens = shapes[i][0] * shapes[i][1];
                          const Tensor to = grad.slice(1, begin, begin + tokens).view(shapes[i]);
                          if (grads[i].defined())
                              copy(to, grads[i]);
                          else
                              fill(to, 0);
                          begin += tokens;
                      }
                      return {grad};
                  });
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
