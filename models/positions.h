#pragma once
// Internal: a position embedding for another grid.
#include "autograd/variable.h"

namespace demi {

// [1, 1 + g g, D], the class token's first, to [1, 1 + height width, D]: bicubic, in f32. offset != 0: by the scale factors
// (height + offset) / g and (width + offset) / g, as Meta's code does; 0: by the sizes.
Variable resize_positions(const Variable& positions, int64_t height, int64_t width, bool antialias,
                          double offset);

}  // namespace demi
