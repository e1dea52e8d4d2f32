#include "ops/views/split.h"

#include "ops/op.h"
#include "ops/views/join.h"
#include "runtime/copy.h"

namespace demi {
namespace {

constexpr int64_t kMostPieces = int64_t{1} << 20;

// Whether all pieces are views into one tensor that holds them side by side: `strides` of that tensor.
bool side_by_side(std::span<const Tensor> pieces, const std::vector<int64_t>& sizes, int dim,
                  const Shape& shape, Shape& strides) {
    if (shape.numel() == 0) return false;
    const Tensor& first = pieces[0];
    if (!first.defined() || sizes[0] == 0) return false;
    strides = first.strides();
    if (pieces.size() > 1 && pieces[1].defined())
        strides[dim] = (pieces[1].offset() - first.offset()) / sizes[0];
    if (strides[dim] < 0) return false;
    int64_t at = first.offset();
    for (size_t k = 0; k < pieces.size(); ++k) {
        const Tensor& piece = pieces[k];
        if (!piece.defined() || piece.buffer() != first.buffer() || piece.dtype() != first.dtype())
            return false;
        if (sizes[k] == 0 || piece.offset() != at) return false;
        for (int d = 0; d < shape.rank(); ++d)
            if (piece.size(d) > 1 && piece.strides()[d] != strides[d]) return false;
        at += sizes[k] * strides[dim];
    }
    return true;
}

}  // namespace

Tensor join(std::span<const Tensor> pieces, const std::vector<int64_t>& sizes, int dim, const Shape& shape) {
    Shape strides;
    if (side_by_side(pieces, sizes, dim, shape, strides))
        return pieces[0].as_strided(shape, strides, pieces[0].offset());
    size_t some = 0;
    while (!pieces[some].defined()) ++some;
    Tensor out = Tensor::empty(shape, pieces[some].dtype(), pieces[some].device());
    int64_t at = 0;
    for (size_t k = 0; k < pieces.size(); ++k) {
        const Tensor place = out.slice(dim, at, at + sizes[k]);
        if (pieces[k].defined()) {
            copy(place, pieces[k]);
        } else {
            fill(place, 0);
        }
        at += sizes[k];
    }
    return out;
}

std::vector<Variable> split(const Variable& x, const std::vector<int64_t>& sizes, int dim) {
    const Op op("split");
    op.check(x.defined(), "x must be a defined tensor");
    dim = normalize_dim(dim, x.rank(), op.name());
    Tensors pieces;
    int64_t at = 0;
    for (int64_t size : sizes) {
        op.check(size >= 0 && size <= x.size(dim) - at, "sizes must not be negative and must add up to ",
                 x.size(dim), ", dimension ", dim, " of ", x.shape(), ": got ", size, " at ", at);
        pieces.push_back(x.value().slice(dim, at, at + size));
        at += size;
    }
    op.check(at == x.size(dim) && !sizes.empty(), "sizes must add up to ", x.size(dim), ", dimension ", dim,
             " of ", x.shape(), ": got ", at);
    return op.record({x}, pieces,
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
    const Op op("unbind");
    op.check(x.defined(), "x must be a defined tensor");
    dim = normalize_dim(dim, x.rank(), op.name());
    const int64_t count = x.size(dim);
    if (count == 0) return {};
    op.check(count <= kMostPieces, "makes at most ", kMostPieces, " pieces: got dimension ", dim, " of ",
             x.shape());
    Tensors pieces;
    for (int64_t i = 0; i < count; ++i) pieces.push_back(x.value().select(dim, i));
    return op.record(
        {x}, pieces, [count, dim, shape = x.shape()](std::span<const Tensor> grads, const Needs&) -> Tensors {
            Tensors lifted;
            for (const Tensor& g : grads) lifted.push_back(g.defined() ? g.unsqueeze(dim) : Tensor());
            return {join(lifted, std::vector<int64_t>(static_cast<size_t>(count), 1), dim, shape)};
        });
}

}  // namespace demi
