#pragma once
// How a picture of any size becomes one of the size that a network takes.
//   square   the largest centred part of the wanted shape, resized; nothing is squeezed
//   crop     the shorter side resized to `resize`, then the middle cut out: DINOv2's evaluation (256, 224)
//   stretch  the whole picture, squeezed to the size: DINOv3's evaluation
//   fit      the whole picture, its shorter side resized to `height`; both sides become multiples of `multiple`, so
//            pictures of other shapes have other sizes
// crop, stretch and fit resize as Pillow does, to the byte; square as the trainers do.
#include <algorithm>
#include <string>

#include "examples/data/resample.h"

namespace demi::data {

inline constexpr int64_t kMaxFramed = 16384;  // of a side

enum class Framing { square, crop, stretch, fit };

struct FramingOptions {
    Framing framing = Framing::square;
    int64_t height = 224, width = 224;
    int64_t resize = 0;    // of crop; 0: the shorter of height and width times 256 / 224
    int64_t multiple = 1;  // of fit
    Filter filter = Filter::bicubic;

    int64_t crop_resize() const;
    // What decode_image may shrink to; 0: it must not.
    int64_t decode_target() const { return framing == Framing::square ? std::max(height, width) : 0; }
};

Framing parse_framing(const std::string& text);
Filter parse_filter(const std::string& text);

Image frame(const Image& image, const FramingOptions& options);

// The whole picture as Pillow's Image.resize makes it: rows, then columns, rounded to bytes after each. (Pillow 13 does the
// columns first where only the height shrinks.)
Image resize_as_pillow(const Image& image, int64_t height, int64_t width, Filter filter);

}  // namespace demi::data
