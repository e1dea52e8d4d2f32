#pragma once
// Resizing with antialiasing: a separable filter (bilinear, or bicubic with a = -1/2) that is
// stretched when the picture shrinks. Coordinates are those of pixel areas; taps outside the box are
// left out and the rest rescaled.
#include <cstdint>

#include "examples/data/planes.h"

namespace demi::data {

enum class Filter { bilinear, bicubic };

struct Box {
    int64_t top = 0, left = 0, height = 0, width = 0;
};

// The box of the image as [channels, height, width] floats, clamped to [0, 1].
Planes resample(const Image& image, Box box, int64_t height, int64_t width, Filter filter);

// The whole image, as bytes; returns a copy where the size already fits.
Image resize(const Image& image, int64_t height, int64_t width, Filter filter = Filter::bicubic);

// 1 (grey) or 3 (RGB) channels; returns a copy where the number already fits.
Image with_channels(const Image& image, int64_t channels);

}  // namespace demi::data
