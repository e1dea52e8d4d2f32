#include <png.h>

#include <cstring>

#include "examples/data/decode.h"
#include "runtime/check.h"

namespace demi::data {
namespace {

// libpng's simplified interface catches its own errors and leaves a message; this frees it on every way out.
struct PngReader {
    png_image image;
    PngReader() {
        std::memset(&image, 0, sizeof image);
        image.version = PNG_IMAGE_VERSION;
    }
    ~PngReader() { png_image_free(&image); }
    PngReader(const PngReader&) = delete;
    PngReader& operator=(const PngReader&) = delete;
};

}  // namespace

Image decode_png(std::span<const uint8_t> file, const std::string& name) {
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
