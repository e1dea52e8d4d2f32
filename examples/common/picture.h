#pragma once

// Small pictures for reports: 8-bit pixels, row by row.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace demi::examples {

struct Picture {
    int width = 0, height = 0;
    int channels = 3;  // 1 grey, 3 RGB, 4 RGBA (not premultiplied)
    std::vector<uint8_t> pixels;

    Picture() = default;
    Picture(int w, int h, int c)
        : width(w), height(h), channels(c), pixels(size_t(w) * size_t(h) * size_t(c)) {}
    bool empty() const { return width <= 0 || height <= 0 || pixels.empty(); }
    uint8_t* at(int x, int y) {
        return pixels.data() + (size_t(y) * size_t(width) + size_t(x)) * size_t(channels);
    }
    const uint8_t* at(int x, int y) const { return const_cast<Picture*>(this)->at(x, y); }
};

// From planar values [channels, height, width]: 0 becomes 0 and 1 becomes 255 after value * scale[c] +
// shift[c], which undoes a normalisation. NaN becomes 0. `channels` is 1 or 3; scale and shift may be empty.
Picture picture_from_planes(const float* values, int channels, int height, int width,
                            const std::vector<float>& scale = {}, const std::vector<float>& shift = {});

// Averages areas so that neither side exceeds `limit`; smaller pictures come back as they are.
Picture shrink(const Picture& picture, int limit);

// PNG file in memory. Throws on a picture without pixels or with a wrong number of channels.
std::string encode_png(const Picture& picture);

std::string base64(std::string_view bytes);

// data:image/png;base64,...
std::string png_data_uri(const Picture& picture);

}  // namespace demi::examples
