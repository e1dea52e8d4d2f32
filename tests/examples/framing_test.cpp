#include "examples/data/framing.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/examples/image_files.h"
#include "tests/support/check_error.h"

using namespace demi::data;
using namespace demi::test;

namespace {

double cubic(double x) {
    x = std::fabs(x);
    if (x < 1) return 1.5 * x * x * x - 2.5 * x * x + 1;
    return x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

// Weights of one axis in double, over all places of the source.
std::vector<double> weights(int64_t from, int64_t to, int64_t at, Filter filter) {
    const double scale = static_cast<double>(from) / static_cast<double>(to), stretch = std::max(scale, 1.0);
    std::vector<double> w(static_cast<size_t>(from));
    double sum = 0;
    for (int64_t i = 0; i < from; ++i) {
        const double x = (static_cast<double>(i) + 0.5 - (static_cast<double>(at) + 0.5) * scale) / stretch;
        w[static_cast<size_t>(i)] = filter == Filter::bicubic ? cubic(x) : std::max(0.0, 1 - std::fabs(x));
        sum += w[static_cast<size_t>(i)];
    }
    for (double& x : w) x /= sum;
    return w;
}

// The same without rounding in between.
double exact(const Image& image, int64_t height, int64_t width, int64_t y, int64_t x, int64_t c,
             Filter filter) {
    const auto down = weights(image.height, height, y, filter),
               across = weights(image.width, width, x, filter);
    double sum = 0;
    for (int64_t i = 0; i < image.height; ++i)
        for (int64_t j = 0; j < image.width; ++j)
            sum += down[static_cast<size_t>(i)] * across[static_cast<size_t>(j)] * image.at(i, j, c);
    return std::clamp(sum, 0.0, 255.0);
}

// Smooth, so that nothing is cut at 0 and 255 between the passes.
Image smooth(int64_t height, int64_t width) {
    Image image(height, width, 3);
    for (int64_t y = 0; y < height; ++y)
        for (int64_t x = 0; x < width; ++x)
            for (int64_t c = 0; c < 3; ++c)
                image.at(y, x, c) =
                    static_cast<uint8_t>(128 + 70 * std::sin(0.5 * static_cast<double>(y + c)) *
                                                   std::cos(0.3 * static_cast<double>(x)));
    return image;
}

FramingOptions options(Framing framing, int64_t height, int64_t width, int64_t resize = 0) {
    FramingOptions o;
    o.framing = framing;
    o.height = height;
    o.width = width;
    o.resize = resize;
    return o;
}

}  // namespace

TEST_CASE("resizing to bytes is the filter, rounded after each pass") {
    const Image image = smooth(23, 31);
    for (const Filter filter : {Filter::bicubic, Filter::bilinear})
        for (const auto& [height, width] :
             {std::pair<int64_t, int64_t>{11, 13}, {40, 50}, {23, 17}, {1, 1}, {50, 31}}) {
            const Image got = resize_as_pillow(image, height, width, filter);
            REQUIRE(got.height == height);
            REQUIRE(got.width == width);
            double worst = 0;
            for (int64_t y = 0; y < height; ++y)
                for (int64_t x = 0; x < width; ++x)
                    for (int64_t c = 0; c < 3; ++c)
                        worst = std::max(
                            worst, std::fabs(exact(image, height, width, y, x, c, filter) - got.at(y, x, c)));
            CHECK(worst <
                  1.3);  // half a level after each pass, the first of them weighted by at most 1.25 or so
        }
    CHECK(resize_as_pillow(image, 23, 31, Filter::bicubic).pixels == image.pixels);
}

TEST_CASE("crop cuts the middle out of the picture whose shorter side was resized") {
    const Image image = pattern(60, 45, 3);
    const Image framed = frame(image, options(Framing::crop, 28, 28, 32));
    const Image resized =
        resize_as_pillow(image, 42, 32, Filter::bicubic);  // 32 * 60 / 45 = 42.67, rounded down
    REQUIRE(framed.height == 28);
    REQUIRE(framed.width == 28);
    for (int64_t y = 0; y < 28; ++y)
        for (int64_t x = 0; x < 28; ++x)
            for (int64_t c = 0; c < 3; ++c) CHECK(framed.at(y, x, c) == resized.at(y + 7, x + 2, c));
    CHECK(options(Framing::crop, 224, 224).crop_resize() == 256);
    // (45 - 28) / 2 = 8.5 goes to the even 8, (41 - 28) / 2 = 6.5 to 6
    const Image small = pattern(45, 41, 3);
    const Image odd = frame(small, options(Framing::crop, 28, 28, 41));
    CHECK(odd.at(0, 0, 0) == small.at(8, 6, 0));
    // a part larger than --resize says is covered all the same
    const Image large = frame(image, options(Framing::crop, 70, 28, 20));
    CHECK(large.height == 70);
    CHECK(large.width == 28);
}

TEST_CASE("square takes the largest centred part, stretch and fit the whole") {
    const Image image = pattern(40, 60, 3);
    CHECK(frame(image, options(Framing::square, 16, 16)).pixels ==
          to_image(resample(image, {0, 10, 40, 40}, 16, 16, Filter::bicubic)).pixels);
    CHECK(frame(image, options(Framing::square, 16, 48)).pixels ==
          to_image(resample(image, {10, 0, 20, 60}, 16, 48, Filter::bicubic)).pixels);
    CHECK(frame(image, options(Framing::square, 40, 60)).pixels == image.pixels);
    CHECK(frame(image, options(Framing::stretch, 14, 28)).pixels ==
          resize_as_pillow(image, 14, 28, Filter::bicubic).pixels);
    FramingOptions fit = options(Framing::fit, 28, 28);
    fit.multiple = 14;
    const Image fitted = frame(image, fit);
    CHECK(fitted.height == 28);
    CHECK(fitted.width == 42);
    CHECK(frame(pattern(3, 1, 3), fit).height == 84);
    CHECK(has(error_of([&] { frame(pattern(2000, 1, 3), fit); }), "too long"));
    for (const Framing framing : {Framing::square, Framing::crop, Framing::stretch, Framing::fit})
        CHECK(frame(pattern(1, 1, 3), options(framing, 28, 28)).height == 28);
}
