#pragma once
// A small picture of bytes: rows from the top, channels interleaved (1 = grey, 3 = RGB).
#include <cstddef>
#include <cstdint>
#include <vector>

namespace demi::data {

struct Image {
    int64_t height = 0;
    int64_t width = 0;
    int64_t channels = 0;
    std::vector<uint8_t> pixels;  // height * width * channels

    Image() = default;
    Image(int64_t rows, int64_t columns, int64_t planes)
        : height(rows), width(columns), channels(planes),
          pixels(static_cast<size_t>(rows * columns * planes)) {}

    uint8_t& at(int64_t y, int64_t x, int64_t c) {
        return pixels[static_cast<size_t>((y * width + x) * channels + c)];
    }
    uint8_t at(int64_t y, int64_t x, int64_t c) const {
        return pixels[static_cast<size_t>((y * width + x) * channels + c)];
    }
};

struct Sample {
    Image image;
    int64_t label = 0;
};

}  // namespace demi::data
