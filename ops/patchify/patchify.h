#pragma once
// Images to rows of patches and back; both only move elements, any dtype, any strides.
//   patchify    [B, C, H, W] -> [B, (H / p) (W / p), C p p]: patches row by row of the grid, inside a patch
//   the order
//               (c, y, x) in which a convolution's weight [D, C, p, p] flattens
//   unpatchify  the inverse; height and width are those of the image
// Each one's backward is the other. H and W must be multiples of p.
#include "autograd/variable.h"

namespace demi {

Variable patchify(const Variable& image, int64_t patch);
Variable unpatchify(const Variable& patches, int64_t channels, int64_t height, int64_t width, int64_t patch);

}  // namespace demi
