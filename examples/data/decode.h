#pragma once
// PNG and JPEG files into RGB bytes. Grey becomes RGB, transparent parts lie on white, 16 bits become 8, CMYK
// becomes RGB. Broken, truncated or huge files throw one Error that names the file; libpng and libjpeg never
// end the program.
#include <cstdint>
#include <span>
#include <string>

#include "examples/data/image.h"

namespace demi::data {

inline constexpr int64_t kMaxSide = 32768;
inline constexpr int64_t kMaxPixels = int64_t{1} << 26;  // 8192 x 8192

bool is_png(std::span<const uint8_t> file);
bool is_jpeg(std::span<const uint8_t> file);

// `target`: the size that the caller shrinks to; a JPEG may come out smaller than stored, but at least twice
// that. 0: full size.
Image decode_image(std::span<const uint8_t> file, const std::string& name, int64_t target = 0);

Image decode_png(std::span<const uint8_t> file, const std::string& name);
Image decode_jpeg(std::span<const uint8_t> file, const std::string& name, int64_t target);

void check_image_size(int64_t width, int64_t height, const std::string& name);

}  // namespace demi::data
