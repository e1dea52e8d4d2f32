#include "examples/data/decode.h"

#include "runtime/check.h"

namespace demi::data {

bool is_png(std::span<const uint8_t> file) {
    return file.size() >= 8 && file[0] == 0x89 && file[1] == 'P' && file[2] == 'N' && file[3] == 'G';
}

bool is_jpeg(std::span<const uint8_t> file) {
    return file.size() >= 3 && file[0] == 0xff && file[1] == 0xd8 && file[2] == 0xff;
}

Image decode_image(std::span<const uint8_t> file, const std::string& name, int64_t target) {
    if (is_png(file)) return decode_png(file, name);
    if (is_jpeg(file)) return decode_jpeg(file, name, target);
    fail("data", name, ": neither PNG nor JPEG", file.empty() ? ": the file is empty" : "");
}

void check_image_size(int64_t width, int64_t height, const std::string& name) {
    check(width > 0 && height > 0 && width <= kMaxSide && height <= kMaxSide && width * height <= kMaxPixels,
          "data", name, ": an image of at most ", kMaxPixels, " pixels and ", kMaxSide,
          " a side is read, got ", width, "x", height);
}

}  // namespace demi::data
