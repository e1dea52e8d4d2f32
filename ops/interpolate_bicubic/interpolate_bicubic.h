#pragma once
// Bicubic resizing with PyTorch's conventions (align_corners = false), a fixed linear
// map for each pair of sizes:
//   forward   y = Wh x Ww^T, one row of weights for each output position
//   backward  dx = Wh^T dy Ww
// Output i looks at s (i + 1/2) - 1/2, where s is 1 / scale if a scale factor is given, else in / out.
//   plain        4 taps of the cubic with a = -0.75, taps beyond the border take the border's value
//   antialias    cubic with a = -0.5, stretched by s where the image shrinks, normalised over the taps
//                inside; an axis that keeps its size is left alone, whatever its factor
// Sizes from 1 to 2^20; scale factors from 2^-20 to 2^20 that ask for at most 2^26 taps along an axis. f16, bf16
// (f32 arithmetic, rounded once), f32, f64; any strides. What one axis overshoots must fit, for the other axis
// comes after it.
#include "autograd/variable.h"

namespace demi {

struct BicubicOptions {
    double scale_h = 0, scale_w = 0;  // output size over input size as the caller sees it; 0: from the sizes
    bool antialias = false;
};

// [N, C, H, W] -> [N, C, out_h, out_w]
Variable interpolate_bicubic(const Variable& x, int64_t out_h, int64_t out_w,
                             const BicubicOptions& options = {});

// The same on a grid stored as rows: [in_h * in_w, D] -> [out_h * out_w, D]
Variable interpolate_bicubic_rows(const Variable& x, int64_t in_h, int64_t in_w, int64_t out_h, int64_t out_w,
                                  const BicubicOptions& options = {});

}  // namespace demi
