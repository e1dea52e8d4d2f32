#pragma once
// PNG and JPEG files into RGB bytes, and where their libraries are there WebP, TIFF, BMP and GIF (of several
// frames or pages the first). Grey becomes RGB, CMYK becomes RGB, transparent parts lie on white. 16 bits
// become 8 by their upper byte, rounded: a file that holds 12 bits in 16 comes out dark. Values stay what
// they are in the file: gamma and colour profiles are left alone. Broken, truncated or huge files throw one
// Error that names the file; no library ends the program.
#include <cstdint>
#include <span>
#include <string>

#include "examples/data/image.h"

namespace demi::data {

inline constexpr int64_t kMaxSide = 32768;
inline constexpr int64_t kMaxPixels = int64_t{1} << 26;  // 8192 x 8192

enum class FileType { unknown, png, jpeg, webp, tiff, bmp, gif };

FileType file_type(std::span<const uint8_t> file);  // by its first bytes; 32 are enough
const char* name(FileType type);                    // "WebP"
bool readable(FileType type);                       // by this build
// The type that files with this ending hold ("jpe", in any case); unknown for others.
FileType type_of_ending(std::string ending);

// `target`: the size that the caller shrinks to; a JPEG may come out smaller than stored, but at least twice
// that. 0: full size. `upright`: turned as EXIF's orientation says.
Image decode_image(std::span<const uint8_t> file, const std::string& name, int64_t target = 0,
                   bool upright = true);

Image decode_png(std::span<const uint8_t> file, const std::string& name);
Image decode_jpeg(std::span<const uint8_t> file, const std::string& name, int64_t target);
Image decode_webp(std::span<const uint8_t> file, const std::string& name);
Image decode_tiff(std::span<const uint8_t> file, const std::string& name);
Image decode_bmp_or_gif(std::span<const uint8_t> file, const std::string& name);

void check_image_size(int64_t width, int64_t height, const std::string& name);
// RGB of four bytes a pixel, laid on white.
Image on_white(const uint8_t* rgba, int64_t height, int64_t width);

}  // namespace demi::data
