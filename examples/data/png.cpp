#include <png.h>

#include <algorithm>
#include <cstring>

#include "examples/data/decode.h"
#include "runtime/check.h"
#include "runtime/non_copyable.h"

namespace demi::data {
namespace {

// libpng's simplified interface catches its own errors and leaves a message; this frees it on every way out.
struct PngReader : NonCopyable {
    png_image image;
    PngReader() {
        std::memset(&image, 0, sizeof image);
        image.version = PNG_IMAGE_VERSION;
    }
    ~PngReader() { png_image_free(&image); }
};

// The same file without the chunks that would have libpng change its values (no other
// reader of data sets does).
std::vector<uint8_t> without_gamma(std::span<const uint8_t> file) {
    std::vector<uint8_t> out(file.begin(), file.begin() + 8);
    for (size_t at = 8; at < file.size();) {
        size_t length = file.size() - at;
        if (length >= 12) {
            const uint64_t data = uint64_t{file[at]} << 24 | uint64_t{file[at + 1]} << 16 |
                                  uint64_t{file[at + 2]} << 8 | file[at + 3];
            length = std::min<uint64_t>(length, data + 12);
        }
        bool keep = true;
        for (const char* type : {"gAMA", "cHRM", "sRGB", "iCCP"})
            keep = keep && (length < 12 || std::memcmp(file.data() + at + 4, type, 4) != 0);
        if (keep)
            out.insert(out.end(), file.begin() + static_cast<std::ptrdiff_t>(at),
                       file.begin() + static_cast<std::ptrdiff_t>(at + length));
        at += length;
    }
    return out;
}

}  // namespace

Image decode_png(std::span<const uint8_t> stored, const std::string& name) {
    check(stored.size() >= 8, "data", name, ": broken PNG: the file is truncated");
    const std::vector<uint8_t> file = without_gamma(stored);
    PngReader reader;
    check(png_image_begin_read_from_memory(&reader.image, file.data(), file.size()) != 0, "data", name,
          ": broken PNG: ", reader.image.message);
    check_image_size(reader.image.width, reader.image.height, name);
    reader.image.format = PNG_FORMAT_RGB;
    reader.image.flags |=
        PNG_IMAGE_FLAG_16BIT_sRGB;  // otherwise 16-bit files would be taken for linear light
    Image out(reader.image.height, reader.image.width, 3);
    const png_color white = {255, 255, 255};
    check(png_image_finish_read(&reader.image, &white, out.pixels.data(), 0, nullptr) != 0, "data", name,
          ": broken PNG: ", reader.image.message);
    return out;
}

}  // namespace demi::data
