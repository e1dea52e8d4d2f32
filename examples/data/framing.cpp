#include "examples/data/framing.h"

#include <algorithm>
#include <cmath>

#include "runtime/check.h"

namespace demi::data {
namespace {

Image cut(const Image& image, int64_t top, int64_t left, int64_t height, int64_t width) {
    Image out(height, width, image.channels);
    for (int64_t y = 0; y < height; ++y) {
        const uint8_t* row = image.pixels.data() + ((top + y) * image.width + left) * image.channels;
        std::copy(row, row + width * image.channels, out.pixels.data() + y * width * image.channels);
    }
    return out;
}

// The largest centred box of height : width.
Box centred(const Image& image, int64_t height, int64_t width) {
    Box box{0, 0, image.height, image.width};
    if (image.height * width > image.width * height)
        box.height = std::max<int64_t>(image.width * height / width, 1);
    else
        box.width = std::max<int64_t>(image.height * width / height, 1);
    box.top = (image.height - box.height) / 2;
    box.left = (image.width - box.width) / 2;
    return box;
}

// torchvision rounds halves to the even number.
int64_t centred_begin(int64_t have, int64_t want) {
    return static_cast<int64_t>(std::nearbyint(static_cast<double>(have - want) / 2));
}

Image crop(const Image& image, const FramingOptions& options) {
    // The longer side keeps its ratio, rounded down; both cover the part that is cut out.
    const int64_t shorter = std::min(image.height, image.width);
    int64_t side = options.crop_resize();
    const auto at = [&](int64_t length) { return length == shorter ? side : side * length / shorter; };
    while (at(image.height) < options.height || at(image.width) < options.width) ++side;
    const Image resized = resize_as_pillow(image, at(image.height), at(image.width), options.filter);
    return cut(resized, centred_begin(resized.height, options.height),
               centred_begin(resized.width, options.width), options.height, options.width);
}

Image fit(const Image& image, const FramingOptions& options) {
    const auto shorter = static_cast<double>(std::min(image.height, image.width));
    const auto side = [&](int64_t length) {
        const double wanted = static_cast<double>(options.height) * static_cast<double>(length) / shorter;
        const double parts = std::round(wanted / static_cast<double>(options.multiple));
        check(parts * static_cast<double>(options.multiple) <= static_cast<double>(kMaxFramed), "data",
              "a picture of ", image.height, "x", image.width, " is too long for --framing fit");
        return std::max<int64_t>(static_cast<int64_t>(parts), 1) * options.multiple;
    };
    return resize_as_pillow(image, side(image.height), side(image.width), options.filter);
}

}  // namespace

int64_t FramingOptions::crop_resize() const {
    return resize > 0 ? resize : (std::min(height, width) * 256 + 112) / 224;
}

Framing parse_framing(const std::string& text) {
    if (text == "square") return Framing::square;
    if (text == "crop") return Framing::crop;
    if (text == "stretch") return Framing::stretch;
    check(text == "fit", "data", "framing must be square, crop, stretch or fit: got '", text, "'");
    return Framing::fit;
}

Filter parse_filter(const std::string& text) {
    check(text == "bicubic" || text == "bilinear", "data", "filter must be bicubic or bilinear: got '", text,
          "'");
    return text == "bicubic" ? Filter::bicubic : Filter::bilinear;
}

Image frame(const Image& image, const FramingOptions& options) {
    check(image.height > 0 && image.width > 0, "data", "a picture without pixels cannot be framed");
    check(options.height > 0 && options.width > 0 && options.height <= kMaxFramed &&
              options.width <= kMaxFramed && options.multiple > 0,
          "data", "pictures are framed to sides from 1 to ", kMaxFramed, ", got ", options.height, "x",
          options.width);
    switch (options.framing) {
    case Framing::crop: return crop(image, options);
    case Framing::stretch: return resize_as_pillow(image, options.height, options.width, options.filter);
    case Framing::fit: return fit(image, options);
    case Framing::square: break;
    }
    if (image.height == options.height && image.width == options.width) return image;
    const Box box = centred(image, options.height, options.width);
    return to_image(resample(image, box, options.height, options.width, options.filter));
}

}  // namespace demi::data
