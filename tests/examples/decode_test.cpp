#include "examples/data/decode.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "tests/examples/image_files.h"
#include "tests/support/check_error.h"
#include "tests/support/env.h"

using namespace demi::data;
using namespace demi::test;

namespace {

int64_t worst_difference(const Image& a, const Image& b) {
    REQUIRE(a.height == b.height);
    REQUIRE(a.width == b.width);
    REQUIRE(a.channels == b.channels);
    int worst = 0;
    for (size_t i = 0; i < a.pixels.size(); ++i)
        worst = std::max(worst, std::abs(int{a.pixels[i]} - int{b.pixels[i]}));
    return worst;
}

Image smooth(int64_t channels) {
    Image image(16, 24, channels);
    for (int64_t y = 0; y < 16; ++y)
        for (int64_t x = 0; x < 24; ++x)
            for (int64_t c = 0; c < channels; ++c)
                image.at(y, x, c) = static_cast<uint8_t>(40 + 4 * y + 5 * x + 10 * c);
    return image;
}

Image gray_as_rgb(const Image& gray) {
    Image rgb(gray.height, gray.width, 3);
    for (size_t i = 0; i < rgb.pixels.size(); ++i) rgb.pixels[i] = gray.pixels[i / 3];
    return rgb;
}

// Every truncation, and every flip of a bit at some places, either decodes or throws a
// demi::Error; never a crash.
void hurt(const Bytes& good, bool every_cut_fails) {
    size_t thrown = 0;
    for (size_t cut = 0; cut < good.size(); ++cut) {
        const Bytes part(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(cut));
        const std::string error = error_of([&] { decode_image(part, "cut.img"); });
        if (!error.empty()) CHECK(has(error, "cut.img"));
        thrown += !error.empty();
    }
    if (every_cut_fails)
        CHECK(thrown >= good.size() - 12);  // libpng and libjpeg forgive a missing last marker
    const size_t step = demi::test::quick() ? 7 : 1;
    for (size_t at = 0; at < good.size(); at += step) {
        for (const int bit : {0, 3, 7}) {
            Bytes bad = good;
            bad[at] = static_cast<uint8_t>(bad[at] ^ (1 << bit));
            const std::string error = error_of([&] { decode_image(bad, "flip.img"); });
            if (!error.empty()) CHECK(has(error, "flip.img"));
        }
    }
}

}  // namespace

TEST_CASE("PNG in colour and grey comes back exactly") {
    const Image rgb = pattern(7, 5, 3);
    CHECK(worst_difference(decode_image(png_of(rgb), "a.png"), rgb) == 0);
    const Image gray = pattern(6, 9, 1);
    CHECK(worst_difference(decode_image(png_of(gray), "a.png"), gray_as_rgb(gray)) == 0);
}

TEST_CASE("PNG with 16 bits is not taken for linear light") {
    const Image gray = pattern(6, 9, 1);
    CHECK(worst_difference(decode_image(png16_of(gray), "a.png"), gray_as_rgb(gray)) <= 1);
}

TEST_CASE("a PNG's transparent parts lie on white") {
    Image rgba(1, 3, 4);
    rgba.pixels = {10, 20, 30, 255, 10, 20, 30, 0, 0, 0, 0, 0};
    const Image image = decode_image(png_of(rgba), "a.png");
    CHECK(image.pixels == Bytes{10, 20, 30, 255, 255, 255, 255, 255, 255});
}

TEST_CASE("a PNG's palette is resolved") {
    const Image image =
        decode_image(png_palette_of(1, 4, {0, 1, 2, 1}, {1, 2, 3, 250, 0, 9, 77, 78, 79}), "a.png");
    CHECK(image.pixels == Bytes{1, 2, 3, 250, 0, 9, 77, 78, 79, 250, 0, 9});
}

TEST_CASE("JPEG in colour, grey and four inks comes back nearly") {
    CHECK(worst_difference(decode_image(jpeg_of(smooth(3), 100), "a.jpg"), smooth(3)) <= 8);
    CHECK(worst_difference(decode_image(jpeg_of(smooth(3), 100, true), "a.jpg"), smooth(3)) <= 8);
    CHECK(worst_difference(decode_image(jpeg_of(smooth(1), 100), "a.jpg"), gray_as_rgb(smooth(1))) <= 3);
    Image inks(16, 16, 4);
    for (size_t i = 0; i < inks.pixels.size(); ++i)
        inks.pixels[i] = i % 4 == 3 ? 255 : static_cast<uint8_t>(50 * (i % 4));
    const Image image = decode_image(jpeg_of(inks, 100), "a.jpg");
    CHECK(std::abs(int{image.at(8, 8, 0)} - 0) <= 3);
    CHECK(std::abs(int{image.at(8, 8, 1)} - 50) <= 3);
    CHECK(std::abs(int{image.at(8, 8, 2)} - 100) <= 3);
}

TEST_CASE("a large JPEG may come out smaller, but not below twice the target") {
    const Bytes file = jpeg_of(pattern(128, 200, 3));
    CHECK(decode_image(file, "a.jpg", 0).height == 128);
    CHECK(decode_image(file, "a.jpg", 32).height == 64);
    CHECK(decode_image(file, "a.jpg", 33).height == 128);
    CHECK(decode_image(file, "a.jpg", 8).width == 25);
}

TEST_CASE("damaged pictures give an Error that names the file") {
    hurt(png_of(pattern(12, 11, 3)), true);
    hurt(png_of(pattern(9, 8, 4)), true);
    hurt(png_palette_of(2, 2, {0, 1, 1, 0}, {1, 2, 3, 4, 5, 6}), true);
    hurt(jpeg_of(smooth(3), 60), false);
    hurt(jpeg_of(smooth(3), 60, true), false);
    hurt(jpeg_of(smooth(1), 60), false);
}

TEST_CASE("a truncated JPEG is an error, not a grey area") {
    Bytes file = jpeg_of(pattern(64, 64, 3));
    file.resize(file.size() / 2);
    const std::string error = error_of([&] { decode_image(file, "half.jpg"); });
    CHECK(has(error, "half.jpg: broken JPEG"));
}

TEST_CASE("a small file cannot ask for a huge picture") {
    Bytes png = png_of(pattern(4, 4, 3));
    png[16] = 0x00, png[17] = 0x01, png[18] = 0x86,
    png[19] = 0xa0;  // a width of 100,000; the checksum is wrong then
    CHECK(has(error_of([&] { decode_image(png, "big.png"); }), "big.png"));
    Bytes jpeg = jpeg_of(smooth(1));
    for (size_t i = 0; i + 9 < jpeg.size(); ++i)
        if (jpeg[i] == 0xff && jpeg[i + 1] == 0xc0) jpeg[i + 5] = jpeg[i + 7] = 0xff;  // 65,000 x 65,000
    CHECK(has(error_of([&] { decode_image(jpeg, "big.jpg"); }), "big.jpg: an image of at most"));
    CHECK(has(error_of([&] { check_image_size(40000, 2, "wide.png"); }), "wide.png: an image of at most"));
}

TEST_CASE("other files are refused by name") {
    CHECK(has(error_of([&] {
                  decode_image(Bytes{'X', 'I', 'F', '8', '9', 'a'}, "x.png");
              }),
              "x.png: neither PNG nor JPEG"));
    CHECK(has(error_of([&] { decode_image(Bytes{}, "x.png"); }), "the file is empty"));
}
