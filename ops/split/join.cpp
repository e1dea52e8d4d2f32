#include "ops/split/join.h"

#include "runtime/copy.h"

namespace demi {
namespace {

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

}  // namespace demi
