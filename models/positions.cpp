#include "models/positions.h"

#include <cmath>

#include "ops/interpolate_bicubic/interpolate_bicubic.h"
#include "ops/views/concat.h"
#include "ops/views/views.h"

namespace demi {

Variable resize_positions(const Variable& positions, int64_t height, int64_t width, bool antialias,
                          double offset) {
    const int64_t count = positions.size(1) - 1, dim = positions.size(2);
    const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(count))));
    const Variable cls = slice(positions, 1, 0, 1);
    const Variable grid = reshape(slice(positions, 1, 1, 1 + count), {count, dim});
    BicubicOptions options;
    options.antialias = antialias;
    if (offset != 0) {
        options.scale_h = (static_cast<double>(height) + offset) / static_cast<double>(side);
        options.scale_w = (static_cast<double>(width) + offset) / static_cast<double>(side);
    }
    const Variable resized = interpolate_bicubic_rows(grid, side, side, height, width, options);
    return concat({cls, reshape(resized, {1, height * width, dim})}, 1);
}

}  // namespace demi
