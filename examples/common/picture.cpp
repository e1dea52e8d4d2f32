#include "examples/common/picture.h"

#include <png.h>

#include <algorithm>
#include <cmath>

#include "runtime/check.h"

namespace demi::examples {
namespace {

void check_picture(const Picture& p, const char* op) {
    check(p.channels == 1 || p.channels == 3 || p.channels == 4, op,
          "channels must be 1, 3 or 4: ", p.channels);
    const size_t needed = size_t(std::max(p.width, 0)) * size_t(std::max(p.height, 0)) * size_t(p.channels);
    check(needed > 0 && p.pixels.size() == needed, op, "a ", p.width, " x ", p.height, " picture with ",
          p.channels, " channels needs ", needed, " bytes and at least one pixel: ", p.pixels.size());
}

}  // namespace

Picture picture_from_planes(const float* values, int channels, int height, int width,
                            const std::vector<float>& scale, const std::vector<float>& shift) {
    check(channels == 1 || channels == 3, "picture", "channels must be 1 or 3: ", channels);
    const size_t c_count = size_t(channels);
    check((scale.empty() || scale.size() == c_count) && (shift.empty() || shift.size() == c_count), "picture",
          "scale and shift need one value per channel: ", scale.size(), " and ", shift.size());
    Picture out(width, height, channels);
    const size_t plane = size_t(width) * size_t(height);
    for (size_t c = 0; c < c_count; ++c)
        for (size_t i = 0; i < plane; ++i) {
            const float v =
                values[c * plane + i] * (scale.empty() ? 1 : scale[c]) + (shift.empty() ? 0 : shift[c]);
            const float clamped = v > 0 ? std::min(v, 1.0f) : 0.0f;  // NaN: 0
            out.pixels[i * c_count + c] = static_cast<uint8_t>(clamped * 255 + 0.5f);
        }
    return out;
}

Picture shrink(const Picture& p, int limit) {
    check_picture(p, "shrink");
    check(limit > 0, "shrink", "limit must be positive: ", limit);
    const int longest = std::max(p.width, p.height);
    if (longest <= limit) return p;
    const auto side = [&](int n) { return std::max(1, static_cast<int>(int64_t{n} * limit / longest)); };
    Picture out(side(p.width), side(p.height), p.channels);
    for (int y = 0; y < out.height; ++y) {
        const int y0 = static_cast<int>(int64_t{y} * p.height / out.height);
        const int y1 = std::max(y0 + 1, static_cast<int>((int64_t{y} + 1) * p.height / out.height));
        for (int x = 0; x < out.width; ++x) {
            const int x0 = static_cast<int>(int64_t{x} * p.width / out.width);
            const int x1 = std::max(x0 + 1, static_cast<int>((int64_t{x} + 1) * p.width / out.width));
            const int count = (y1 - y0) * (x1 - x0);
            for (int c = 0; c < p.channels; ++c) {
                int sum = count / 2;
                for (int v = y0; v < y1; ++v)
                    for (int u = x0; u < x1; ++u) sum += p.at(u, v)[c];
                out.at(x, y)[c] = static_cast<uint8_t>(sum / count);
            }
        }
    }
    return out;
}

std::string encode_png(const Picture& p) {
    check_picture(p, "png");
    png_image image = {};
    image.version = PNG_IMAGE_VERSION;
    image.width = static_cast<png_uint_32>(p.width);
    image.height = static_cast<png_uint_32>(p.height);
    image.format = p.channels == 1 ? PNG_FORMAT_GRAY : p.channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_RGBA;
    // One pass: the bound is a little more than the pixels themselves.
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
    std::string bytes(size, '\0');
    const int ok = png_image_write_to_memory(&image, bytes.data(), &size, 0, p.pixels.data(), 0, nullptr);
    const std::string reason = image.message;
    png_image_free(&image);
    check(ok != 0, "png", "cannot encode a ", p.width, " x ", p.height, " picture: ", reason);
    bytes.resize(size);
    return bytes;
}

std::string base64(std::string_view bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    for (size_t i = 0; i < bytes.size(); i += 3) {
        uint32_t group = 0;
        for (size_t k = 0; k < 3; ++k)
            group = group << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0u);
        const size_t have = std::min<size_t>(3, bytes.size() - i);
        for (size_t k = 0; k < 4; ++k) out += k <= have ? digits[group >> (18 - 6 * k) & 63] : '=';
    }
    return out;
}

std::string png_data_uri(const Picture& picture) {
    return "data:image/png;base64," + base64(encode_png(picture));
}

}  // namespace demi::examples
