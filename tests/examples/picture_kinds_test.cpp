#include <doctest/doctest.h>

#ifdef DEMI_WEBP
#include <webp/encode.h>
#endif

#include "examples/data/decode.h"
#include "examples/data/exif.h"
#include "tests/examples/image_files.h"
#include "tests/support/check_error.h"

using namespace demi::data;
using namespace demi::test;

namespace {

bool same(const Image& a, const Image& b) {
    return a.height == b.height && a.width == b.width && a.pixels == b.pixels;
}

// [2 x 3], every pixel another: 0 1 2 / 3 4 5.
Image six() {
    Image image(2, 3, 3);
    for (size_t i = 0; i < 18; ++i) image.pixels[i] = static_cast<uint8_t>(40 * (i / 3));
    return image;
}

std::vector<int> levels(const Image& image) {
    std::vector<int> out{static_cast<int>(image.height)};
    for (int64_t y = 0; y < image.height; ++y)
        for (int64_t x = 0; x < image.width; ++x) out.push_back(image.at(y, x, 0) / 40);
    return out;
}

}  // namespace

TEST_CASE("EXIF's eight orientations") {
    const std::vector<std::vector<int>> upright = {
        {2, 0, 1, 2, 3, 4, 5}, {2, 2, 1, 0, 5, 4, 3}, {2, 5, 4, 3, 2, 1, 0}, {2, 3, 4, 5, 0, 1, 2},
        {3, 0, 3, 1, 4, 2, 5}, {3, 3, 0, 4, 1, 5, 2}, {3, 5, 2, 4, 1, 3, 0}, {3, 2, 5, 1, 4, 0, 3}};
    for (int o = 1; o <= 8; ++o) {
        CAPTURE(o);
        CHECK(levels(turned(six(), o)) == upright[static_cast<size_t>(o - 1)]);
        for (const bool big : {false, true}) {
            const Bytes png = with_chunk(png_of(six()), "eXIf", exif_block(o, big));
            CHECK(levels(decode_image(png, "a.png")) == upright[static_cast<size_t>(o - 1)]);
            CHECK(levels(decode_image(png, "a.png", 0, false)) == upright[0]);
        }
        CHECK(exif_orientation(with_orientation(jpeg_of(six()), o)) == o);
        CHECK(exif_orientation(tiff_of(six(), o)) == o);
    }
    for (const int nonsense : {0, 9, 200})
        CHECK(exif_orientation(with_orientation(jpeg_of(six()), nonsense)) == 1);
    CHECK(exif_orientation(jpeg_of(six())) == 1);
    CHECK(decode_image(with_orientation(jpeg_of(pattern(128, 200, 3)), 6), "a.jpg", 32).height == 100);
}

TEST_CASE("cut and damaged EXIF blocks do no harm") {
    const Bytes good = with_orientation(jpeg_of(six()), 6);
    for (size_t cut = 0; cut < 60; ++cut)
        CHECK(exif_orientation(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(cut))) >= 1);
    for (size_t at = 0; at < 60; ++at)
        for (const uint8_t value : {0, 255}) {
            Bytes bad = good;
            bad[at] = value;
            const int o = exif_orientation(bad);
            CHECK(o >= 1);
            CHECK(o <= 8);
        }
}

TEST_CASE("a PNG's gamma and colour chunks change no value") {
    Image gray(4, 4, 3);
    for (uint8_t& v : gray.pixels) v = 120;
    const Bytes plain = png_of(gray);
    for (const Bytes& gamma : {Bytes{0, 1, 0x86, 0xa0}, Bytes{0, 0, 0xb1, 0x8f}, Bytes{0, 3, 0x0d, 0x40}})
        CHECK(same(decode_image(with_chunk(plain, "gAMA", gamma), "a.png"), gray));
    CHECK(same(decode_image(with_chunk(plain, "sRGB", {0}), "a.png"), gray));
    CHECK(same(decode_image(with_chunk(with_chunk(plain, "sRGB", {1}), "gAMA", {0, 1, 0x86, 0xa0}), "a.png"),
               gray));
}

TEST_CASE("endings and first bytes tell the kind") {
    for (const char* ending : {"jpg", "JPEG", "jpe", "Jfif"}) CHECK(type_of_ending(ending) == FileType::jpeg);
    CHECK(type_of_ending("webp") == FileType::webp);
    CHECK(type_of_ending("tif") == FileType::tiff);
    CHECK(type_of_ending("txt") == FileType::unknown);
    CHECK(file_type(png_of(six())) == FileType::png);
    CHECK(file_type(jpeg_of(six())) == FileType::jpeg);
    CHECK(file_type(bmp_of(six())) == FileType::bmp);
    CHECK(file_type(gif_of(4, 1)) == FileType::gif);
    CHECK(file_type(tiff_of(six())) == FileType::tiff);
    CHECK(file_type(Bytes{'B', 'M', 'X', ' ', 'i', 's', ' ', 'a', ' ', 't', 'e', 'x', 't', ' ', 'o', 'f', ' ',
                          ' '}) == FileType::unknown);
}

TEST_CASE("BMP, GIF and TIFF, where their libraries are") {
    if (readable(FileType::bmp)) {
        CHECK(same(decode_image(bmp_of(six()), "a.bmp"), six()));
        const Image green = decode_image(gif_of(9, 2), "a.gif");
        CHECK(green.height == 9);
        CHECK(green.pixels[0] == 0);
        CHECK(green.pixels[1] == 255);
        CHECK(green.at(8, 8, 1) == 255);
        for (const Bytes& whole : {bmp_of(six()), gif_of(9, 2)}) {
            const Bytes cut(whole.begin(), whole.end() - 20);
            CHECK(has(error_of([&] { decode_image(cut, "x"); }), "x: broken "));
        }
        CHECK(has(error_of([] {
                      decode_image(Bytes{'G', 'I', 'F', '8', '9', 'a'}, "x.gif");
                  }),
                  "x.gif: broken GIF"));
    } else {
        CHECK(has(error_of([] { decode_image(gif_of(4, 1), "x.gif"); }),
                  "GIF, for which this program was built"));
    }
    if (readable(FileType::tiff)) {
        CHECK(same(decode_image(tiff_of(six()), "a.tif"), six()));
        CHECK(same(decode_image(tiff_of(six(), 6), "a.tif", 0, false), six()));
        CHECK(levels(decode_image(tiff_of(six(), 6), "a.tif")) == std::vector<int>{3, 3, 0, 4, 1, 5, 2});
        Bytes cut = tiff_of(six());
        cut.resize(cut.size() - 9);
        CHECK(has(error_of([&] { decode_image(cut, "cut.tif"); }), "cut.tif: broken TIFF"));
    }
}

TEST_CASE("cut and damaged files of the other kinds give an Error or a picture") {
    for (const Bytes& good : {bmp_of(six()), gif_of(5, 3), tiff_of(six())}) {
        for (size_t cut = 0; cut < good.size(); ++cut)
            (void)error_of([&] {
                decode_image(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(cut)), "cut");
            });
        for (size_t at = 0; at < good.size(); ++at)
            for (const int bit : {0, 4, 7}) {
                Bytes bad = good;
                bad[at] = static_cast<uint8_t>(bad[at] ^ (1 << bit));
                (void)error_of([&] { decode_image(bad, "flip"); });
            }
    }
}

#ifdef DEMI_WEBP
TEST_CASE("WebP") {
    uint8_t* bytes = nullptr;
    const Image image = pattern(20, 30, 3);
    const size_t size = WebPEncodeLosslessRGB(image.pixels.data(), 30, 20, 90, &bytes);
    const Bytes file(bytes, bytes + size);
    WebPFree(bytes);
    CHECK(same(decode_image(file, "a.webp"), image));
    const Bytes half(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size / 2));
    CHECK(has(error_of([&] { decode_image(half, "half.webp"); }), "half.webp: broken WebP"));
}
#endif
