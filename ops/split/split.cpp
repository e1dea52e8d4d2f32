#include "ops/split/split.h"

#include "autograd/record.h"
#include "ops/split/join.h"
#include "runtime/profile.h"

namespace demi {
namespace {

constexpr int64_t kMostPieces = int64_t{1} << 20;

}  // namespace

std::vector<Variable> split(const Variable& x, const std::vector<int64_t>& sizes, int dim) {
    const ProfileScope scope("split");
    check(x.defined(), "split", "x must be a defined tensor");
    dim = normalize_dim(dim, x.rank(), "split");
    Tensors pieces;
    int64_t at = 0;
    for (int64_t size : sizes) {
        check(size >= 0 && size <= x.size(dim) - at, "split",
              "sizes must not be negative and must add up to ", x.size(dim), ", dimension ", dim, " of ",
              x.shape(), ": got ", size, " at ", at);
        pieces.push_back(x.value().slice(dim, at, at + size));
        at += size;
    }
    check(at == x.size(dim) && !sizes.empty(), "split", "sizes must add up to ", x.size(dim), ", dimension ",
          dim, " of ", x.shape(), ": got ", at);
    return record("split", {x}, pieces,
                  [sizes, dim, shape = x.shape()](std::span<const Tensor> grads, const Needs&) -> Tensors {
                      return {join(grads, sizes, dim, shape)};
                  });
}

std::vector<Variable> chunk(const Variable& x, int64_t count, int dim) {
    check(x.defined(), "chunk", "x must be a defined tensor");
    const int64_t size = x.shape()[normalize_dim(dim, x.rank(), "chunk")];
    check(count > 0 && size % count == 0, "chunk", "dimension ", dim, " of ", x.shape(), " must divide by ",
          count);
    check(count <= kMostPieces, "chunk", "makes at most ", kMostPieces, " pieces: got ", count);
    return split(x, std::vector<int64_t>(static_cast<size_t>(count), size / count), dim);
}

std::vector<Variable> unbind(const Variable& x, int dim) {
    const ProfileScope scope("unbind");
    check(x.defined(), "unbind", "x must be a defined tensor");
    dim = normalize_dim(dim, x.rank(), "unbind");
    const int64_t count = x.size(dim);
    if (count == 0) return {};
    check(count <= kMostPieces, "unbind", "makes at most ", kMostPieces, " pieces: got dimension ", dim,
          " of ", x.shape());
    Tensors pieces;
    for (int64_t i = 0; i < count; ++i) pieces.push_back(x.value().select(dim, i));
    return record("unbind", {x}, pieces,
                  [count, dim, shape = x.shape()](std::span<const Tensor> grads, const Needs&) -> Tensors {
                      Tensors lifted;
                      for (const Tensor& g : grads)
                          lifted.push_back(g.defined() ? g.unsqueeze(dim) : Tensor());
                      return {join(lifted, std::vector<int64_t>(static_cast<size_t>(count), 1), dim, shape)};
                  });
}

}  // namespace demi
