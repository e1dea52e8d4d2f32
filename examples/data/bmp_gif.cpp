#include "examples/data/decode.h"

#ifdef DEMI_STB
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_BMP
#define STBI_ONLY_GIF
#define STBI_NO_STDIO
#define STBI_NO_FAILURE_STRINGS
#include <stb/stb_image.h>

#include <algorithm>
#include <memory>

#include "runtime/check.h"

namespace demi::data {

// stb reads zeros beyond the end: a file that was cut is found here. A GIF ends with a mark of one byte; a
// BMP says where its rows begin, and unpacked ones have their size.
static bool whole(std::span<const uint8_t> file, int64_t width, int64_t height) {
    if (file_type(file) == FileType::gif)
        return std::find(file.end() - std::min<std::ptrdiff_t>(16, std::ssize(file)), file.end(), 0x3b) !=
               file.end();
    const auto number = [&](size_t at, size_t bytes) {
        int64_t value = 0;
        for (size_t i = bytes; i-- > 0;) value = value << 8 | (at + i < file.size() ? file[at + i] : 0);
        return value;
    };
    const bool old = number(14, 4) == 12;
    const int64_t bits = number(old ? 24 : 28, 2), packed = old ? 0 : number(30, 4);
    const int64_t rows = packed == 1 || packed == 2 ? 1 : (width * bits + 31) / 32 * 4 * height;
    return number(10, 4) + rows <= std::ssize(file);
}

Image decode_bmp_or_gif(std::span<const uint8_t> file, const std::string& path) {
    const char* kind = name(file_type(file));
    const int size = static_cast<int>(std::min<size_t>(file.size(), INT_MAX));
    int width = 0, height = 0, channels = 0;
    check(stbi_info_from_memory(file.data(), size, &width, &height, &channels) != 0 && width > 0, "data",
          path, ": broken ", kind);
    check_image_size(width, height, path);
    check(whole(file, width, height), "data", path, ": broken ", kind, ": the file is truncated");
    const std::unique_ptr<stbi_uc, void (*)(void*)> rgba(
        stbi_load_from_memory(file.data(), size, &width, &height, &channels, 4), stbi_image_free);
    check(rgba != nullptr, "data", path, ": broken ", kind);
    return on_white(rgba.get(), height, width);
}

}  // namespace demi::data
#endif
