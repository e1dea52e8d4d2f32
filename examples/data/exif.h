#pragma once
// How a camera was held: EXIF's orientation, from JPEG, PNG, WebP and TIFF files.
#include <cstdint>
#include <span>

#include "examples/data/image.h"

namespace demi::data {

// 1 to 8; 1 where the file says nothing, or nonsense.
int exif_orientation(std::span<const uint8_t> file);

// The picture upright: 1 as it is, 2 mirrored left to right, 3 half a turn, 4 mirrored top to
// bottom, 5 along the main diagonal, 6 a quarter turn clockwise, 7 along the other diagonal, 8 a
// quarter turn counter-clockwise.
Image turned(Image image, int orientation);

}  // namespace demi::data
