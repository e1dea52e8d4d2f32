// Pillow resizes bytes with whole numbers: weights of 22 bits behind the point, and bytes between the two passes. The same
// here, so that features can be compared with those of a PyTorch pipeline.
#include <cmath>

#include "examples/data/framing.h"
#include "runtime/check.h"

namespace demi::data {
namespace {

constexpr int kBits = 22;

double weight(double x, Filter filter) {
    x = std::fabs(x);
    if (filter == Filter::bilinear) return x < 1 ? 1 - x : 0;
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

// Of one place of the result: where its taps begin, and their weights.
struct Tap {
    int64_t first = 0;
    std::vector<int32_t> weights;
};

std::vector<Tap> taps(int64_t from, int64_t to, Filter filter) {
    const double scale = static_cast<double>(from) / static_cast<double>(to);
    const double stretch = std::max(scale, 1.0), reach = (filter == Filter::bicubic ? 2.0 : 1.0) * stretch;
    std::vector<Tap> all(static_cast<size_t>(to));
    std::vector<double> exact;
    for (int64_t i = 0; i < to; ++i) {
        const double center = (static_cast<double>(i) + 0.5) * scale;
        Tap& tap = all[static_cast<size_t>(i)];
        tap.first = std::max(static_cast<int64_t>(center - reach + 0.5), int64_t{0});
        const int64_t last = std::min(static_cast<int64_t>(center + reach + 0.5), from);
        exact.clear();
        double sum = 0;
        for (int64_t x = tap.first; x < last; ++x) {
            exact.push_back(weight((static_cast<double>(x) - center + 0.5) / stretch, filter));
            sum += exact.back();
        }
        for (double w : exact) {
            const double fixed = w / sum * (1 << kBits);
            tap.weights.push_back(static_cast<int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
        }
    }
    return all;
}

uint8_t byte(int64_t sum) { return static_cast<uint8_t>(std::clamp<int64_t>(sum >> kBits, 0, 255)); }

}  // namespace

Image resize_as_pillow(const Image& image, int64_t height, int64_t width, Filter filter) {
    check(height > 0 && width > 0 && image.height > 0 && image.width > 0, "data",
          "an image must be resized from and to at least one pixel, got ", image.height, "x", image.width,
          " to ", height, "x", width);
    const int64_t channels = image.channels;
    constexpr int64_t kHalf = int64_t{1} << (kBits - 1);
    Image rows = image;
    if (width != image.width) {
        rows = Image(image.height, width, channels);
        const std::vector<Tap> across = taps(image.width, width, filter);
        for (int64_t y = 0; y < image.height; ++y)
            for (int64_t x = 0; x < width; ++x) {
                const Tap& tap = across[static_cast<size_t>(x)];
                for (int64_t c = 0; c < channels; ++c) {
                    const uint8_t* p = image.pixels.data() + (y * image.width + tap.first) * channels + c;
                    int64_t sum = kHalf;
                    for (const int32_t w : tap.weights) {
                        sum += int64_t{w} * *p;
                        p += channels;
                    }
                    rows.at(y, x, c) = byte(sum);
                }
            }
    }
    if (height == image.height) return rows;
    Image out(height, width, channels);
    const std::vector<Tap> down = taps(image.height, height, filter);
    const int64_t line = width * channels;
    std::vector<int64_t> sums(static_cast<size_t>(line));
    for (int64_t y = 0; y < height; ++y) {
        const Tap& tap = down[static_cast<size_t>(y)];
        std::fill(sums.begin(), sums.end(), kHalf);
        const uint8_t* p = rows.pixels.data() + tap.first * line;
        for (const int32_t w : tap.weights) {
            for (int64_t i = 0; i < line; ++i) sums[static_cast<size_t>(i)] += int64_t{w} * p[i];
            p += line;
        }
        for (int64_t i = 0; i < line; ++i)
            out.pixels[static_cast<size_t>(y * line + i)] = byte(sums[static_cast<size_t>(i)]);
    }
    return out;
}

}  // namespace demi::data
