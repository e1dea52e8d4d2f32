#include "examples/data/decode.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "examples/data/exif.h"
#include "runtime/check.h"

namespace demi::data {
namespace {

bool begins(std::span<const uint8_t> file, std::string_view magic, size_t at = 0) {
    return file.size() >= at + magic.size() && std::memcmp(file.data() + at, magic.data(), magic.size()) == 0;
}

// "BM" alone begins many a text: the length of a BMP's second header is one of a few.
bool is_bmp(std::span<const uint8_t> file) {
    constexpr uint8_t kHeaders[] = {12, 40, 52, 56, 64, 108, 124};
    return begins(file, "BM") && file.size() >= 18 && file[15] == 0 && file[16] == 0 && file[17] == 0 &&
           std::find(std::begin(kHeaders), std::end(kHeaders), file[14]) != std::end(kHeaders);
}

}  // namespace

FileType file_type(std::span<const uint8_t> file) {
    if (begins(file, "\x89PNG")) return FileType::png;
    if (begins(file, "\xff\xd8\xff")) return FileType::jpeg;
    if (begins(file, "RIFF") && begins(file, "WEBP", 8)) return FileType::webp;
    if (begins(file, "GIF87a") || begins(file, "GIF89a")) return FileType::gif;
    if (begins(file, {"II*\0", 4}) || begins(file, {"MM\0*", 4}) || begins(file, {"II+\0", 4}) ||
        begins(file, {"MM\0+", 4}))
        return FileType::tiff;
    return is_bmp(file) ? FileType::bmp : FileType::unknown;
}

const char* name(FileType type) {
    constexpr const char* kNames[] = {"an unknown kind of file", "PNG", "JPEG", "WebP", "TIFF", "BMP", "GIF"};
    return kNames[static_cast<size_t>(type)];
}

bool readable(FileType type) {
    switch (type) {
    case FileType::png:
    case FileType::jpeg: return true;
#ifdef DEMI_WEBP
    case FileType::webp: return true;
#endif
#ifdef DEMI_TIFF
    case FileType::tiff: return true;
#endif
#ifdef DEMI_STB
    case FileType::bmp:
    case FileType::gif: return true;
#endif
    default: return false;
    }
}

FileType type_of_ending(std::string ending) {
    for (char& c : ending) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    const auto among = [&](std::initializer_list<const char*> list) {
        return std::find(list.begin(), list.end(), ending) != list.end();
    };
    if (among({"png"})) return FileType::png;
    if (among({"jpg", "jpeg", "jpe", "jfif", "jif", "pjpeg", "pjp"})) return FileType::jpeg;
    if (among({"webp"})) return FileType::webp;
    if (among({"tif", "tiff"})) return FileType::tiff;
    if (among({"bmp", "dib"})) return FileType::bmp;
    return among({"gif"}) ? FileType::gif : FileType::unknown;
}

Image decode_image(std::span<const uint8_t> file, const std::string& path, int64_t target, bool upright) {
    const FileType type = file_type(file);
    check(type != FileType::unknown, "data", path, ": neither PNG nor JPEG",
          file.empty() ? ": the file is empty" : ", nor another kind of picture that is known");
    const auto decode = [&] {
        switch (type) {
        case FileType::png: return decode_png(file, path);
        case FileType::jpeg: return decode_jpeg(file, path, target);
#ifdef DEMI_WEBP
        case FileType::webp: return decode_webp(file, path);
#endif
#ifdef DEMI_TIFF
        case FileType::tiff: return decode_tiff(file, path);
#endif
#ifdef DEMI_STB
        case FileType::bmp:
        case FileType::gif: return decode_bmp_or_gif(file, path);
#endif
        default:
            fail("data", path, ": neither PNG nor JPEG but ", name(type),
                 ", for which this program was built without a library");
        }
    };
    return upright ? turned(decode(), exif_orientation(file)) : decode();
}

void check_image_size(int64_t width, int64_t height, const std::string& path) {
    check(width > 0 && height > 0 && width <= kMaxSide && height <= kMaxSide && width * height <= kMaxPixels,
          "data", path, ": an image of at most ", kMaxPixels, " pixels and ", kMaxSide,
          " a side is read, got ", width, "x", height);
}

Image on_white(const uint8_t* rgba, int64_t height, int64_t width) {
    Image image(height, width, 3);
    for (int64_t p = 0; p < height * width; ++p)
        for (int64_t c = 0; c < 3; ++c) {
            const int alpha = rgba[4 * p + 3];
            image.pixels[static_cast<size_t>(3 * p + c)] =
                static_cast<uint8_t>((rgba[4 * p + c] * alpha + 255 * (255 - alpha) + 127) / 255);
        }
    return image;
}

}  // namespace demi::data
