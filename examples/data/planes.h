#pragma once
// A picture of floats in [0, 1], one plane after another: [channels, height, width].
#include <cstddef>
#include <cstdint>
#include <vector>

#include "examples/data/image.h"

namespace demi::data {

struct Planes {
    int64_t channels = 0, height = 0, width = 0;
    std::vector<float> values;

    Planes() = default;
    Planes(int64_t planes, int64_t rows, int64_t columns)
        : channels(planes), height(rows), width(columns),
          values(static_cast<size_t>(planes * rows * columns)) {}

    int64_t area() const { return height * width; }
    float* plane(int64_t c) { return values.data() + c * area(); }
    const float* plane(int64_t c) const { return values.data() + c * area(); }
};

// Bytes to floats by x / 255, and back with rounding.
Planes to_planes(const Image& image);
Image to_image(const Planes& planes);

}  // namespace demi::data
