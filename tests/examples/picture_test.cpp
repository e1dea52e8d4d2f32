#include "examples/common/picture.h"

#include <doctest/doctest.h>
#include <png.h>

#include <cmath>

#include "tests/support/check_error.h"

using namespace demi::examples;
using namespace demi::test;

namespace {

Picture decoded(const std::string& bytes, int channels) {
    png_image image = {};
    image.version = PNG_IMAGE_VERSION;
    REQUIRE(png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) != 0);
    image.format = channels == 1 ? PNG_FORMAT_GRAY : channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_RGBA;
    Picture out(static_cast<int>(image.width), static_cast<int>(image.height), channels);
    REQUIRE(png_image_finish_read(&image, nullptr, out.pixels.data(), 0, nullptr) != 0);
    return out;
}

}  // namespace

TEST_CASE("PNG keeps every pixel") {
    for (const int channels : {1, 3, 4})
        for (const int width : {1, 7, 64}) {
            Picture p(width, 5, channels);
            for (size_t i = 0; i < p.pixels.size(); ++i) p.pixels[i] = static_cast<uint8_t>(i * 37 + i / 11);
            if (channels == 4)  // colours under full transparency need not be kept
                for (size_t i = 3; i < p.pixels.size(); i += 4) p.pixels[i] |= 1;
            const Picture back = decoded(encode_png(p), channels);
            CHECK(back.width == width);
            CHECK(back.height == 5);
            CHECK(back.pixels == p.pixels);
        }
    CHECK(has(error_of([] { encode_png(Picture()); }), "at least one pixel"));
    CHECK(has(error_of([] { encode_png(Picture(2, 2, 2)); }), "channels"));
}

TEST_CASE("base64") {
    CHECK(base64("") == "");
    CHECK(base64("f") == "Zg==");
    CHECK(base64("fo") == "Zm8=");
    CHECK(base64("foo") == "Zm9v");
    CHECK(base64("foobar") == "Zm9vYmFy");
    CHECK(base64("\xff\xfe\xfd") == "//79");
}

TEST_CASE("planes become pixels, NaN becomes black") {
    const float planes[6] = {0, 1, 0.5f, -3, NAN, INFINITY};
    const Picture p = picture_from_planes(planes, 3, 1, 2);
    CHECK(p.pixels == std::vector<uint8_t>{0, 128, 0, 255, 0, 255});
    const Picture q = picture_from_planes(planes, 1, 1, 2, {0.5f}, {0.25f});
    CHECK(q.pixels == std::vector<uint8_t>{64, 191});
}

TEST_CASE("shrinking averages") {
    Picture p(4, 2, 1);
    p.pixels = {0, 100, 10, 10, 100, 200, 10, 10};
    CHECK(shrink(p, 2).pixels == std::vector<uint8_t>{100, 10});
    CHECK(shrink(p, 4).pixels == p.pixels);
    const Picture thin = shrink(Picture(1000, 1, 3), 10);
    CHECK(thin.width == 10);
    CHECK(thin.height == 1);
}
