#include "examples/data/resample.h"

#include <algorithm>
#include <cmath>

#include "runtime/check.h"

namespace demi::data {
namespace {

double cubic(double x) {
    x = std::fabs(x);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    if (x < 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
    return 0;
}

double linear(double x) { return std::max(0.0, 1 - std::fabs(x)); }

// For every output position: where its taps begin and their weights, which sum to 1.
struct Taps {
    std::vector<int64_t> first;
    std::vector<float> weights;  // [outputs, count]
    int64_t count = 0;

    Taps(int64_t from, int64_t to, Filter filter) {
        const double ratio = static_cast<double>(from) / static_cast<double>(to);
        const double stretch = std::max(ratio, 1.0);
        const double reach = (filter == Filter::bicubic ? 2.0 : 1.0) * stretch;
        count = std::min(from, static_cast<int64_t>(std::ceil(reach)) * 2 + 1);
        first.resize(static_cast<size_t>(to));
        weights.assign(static_cast<size_t>(to * count), 0.0f);
        std::vector<double> row(static_cast<size_t>(count));
        for (int64_t i = 0; i < to; ++i) {
            const double center = (static_cast<double>(i) + 0.5) * ratio;
            const auto begin =
                std::clamp(static_cast<int64_t>(std::floor(center - reach + 0.5)), int64_t{0}, from - count);
            double sum = 0;
            for (int64_t k = 0; k < count; ++k) {
                const double x = (static_cast<double>(begin + k) + 0.5 - center) / stretch;
                const double w = filter == Filter::bicubic ? cubic(x) : linear(x);
                row[static_cast<size_t>(k)] = w;
                sum += w;
            }
            first[static_cast<size_t>(i)] = begin;
            for (int64_t k = 0; k < count; ++k)
                weights[static_cast<size_t>(i * count + k)] =
                    static_cast<float>(row[static_cast<size_t>(k)] / sum);
        }
    }
};

}  // namespace

Planes resample(const Image& image, Box box, int64_t height, int64_t width, Filter filter) {
    check(height > 0 && width > 0, "data", "an image must be resized to at least one pixel, got ", height,
          "x", width);
    check(box.height > 0 && box.width > 0 && box.top >= 0 && box.left >= 0 &&
              box.top + box.height <= image.height && box.left + box.width <= image.width,
          "data", "crop ", box.height, "x", box.width, " at ", box.top, ",", box.left,
          " must lie inside the image of ", image.height, "x", image.width);
    const Taps across(box.width, width, filter);
    const Taps down(box.height, height, filter);
    const int64_t channels = image.channels;
    std::vector<float> rows(static_cast<size_t>(box.height * width));
    Planes out(channels, height, width);
    for (int64_t c = 0; c < channels; ++c) {
        for (int64_t y = 0; y < box.height; ++y) {
            const uint8_t* source =
                image.pixels.data() + ((box.top + y) * image.width + box.left) * channels + c;
            for (int64_t x = 0; x < width; ++x) {
                const float* w = across.weights.data() + x * across.count;
                const uint8_t* p = source + across.first[static_cast<size_t>(x)] * channels;
                float sum = 0;
                for (int64_t k = 0; k < across.count; ++k) sum += w[k] * static_cast<float>(p[k * channels]);
                rows[static_cast<size_t>(y * width + x)] = sum;
            }
        }
        float* plane = out.plane(c);
        for (int64_t y = 0; y < height; ++y) {
            float* line = plane + y * width;
            const float* w = down.weights.data() + y * down.count;
            const float* source = rows.data() + down.first[static_cast<size_t>(y)] * width;
            for (int64_t k = 0; k < down.count; ++k)
                for (int64_t x = 0; x < width; ++x) line[x] += w[k] * source[k * width + x];
            for (int64_t x = 0; x < width; ++x) line[x] = std::clamp(line[x] / 255.0f, 0.0f, 1.0f);
        }
    }
    return out;
}

Image resize(const Image& image, int64_t height, int64_t width, Filter filter) {
    if (image.height == height && image.width == width) return image;
    return to_image(resample(image, {0, 0, image.height, image.width}, height, width, filter));
}

Image with_channels(const Image& image, int64_t channels) {
    check(channels == 1 || channels == 3, "data", "images have 1 or 3 channels, asked for ", channels);
    if (image.channels == channels) return image;
    Image out(image.height, image.width, channels);
    const size_t pixels = static_cast<size_t>(image.height * image.width);
    for (size_t i = 0; i < pixels; ++i) {
        if (channels == 3) {
            for (size_t c = 0; c < 3; ++c) out.pixels[3 * i + c] = image.pixels[i];
        } else {
            const uint8_t* p = image.pixels.data() + 3 * i;
            out.pixels[i] = static_cast<uint8_t>((299 * p[0] + 587 * p[1] + 114 * p[2] + 500) / 1000);
        }
    }
    return out;
}

Planes to_planes(const Image& image) {
    Planes out(image.channels, image.height, image.width);
    for (int64_t c = 0; c < image.channels; ++c) {
        float* plane = out.plane(c);
        for (int64_t i = 0; i < out.area(); ++i)
            plane[i] = static_cast<float>(image.pixels[static_cast<size_t>(i * image.channels + c)]) / 255.0f;
    }
    return out;
}

Image to_image(const Planes& planes) {
    Image out(planes.height, planes.width, planes.channels);
    for (int64_t c = 0; c < planes.channels; ++c) {
        const float* plane = planes.plane(c);
        for (int64_t i = 0; i < planes.area(); ++i)
            out.pixels[static_cast<size_t>(i * planes.channels + c)] =
                static_cast<uint8_t>(std::clamp(plane[i], 0.0f, 1.0f) * 255 + 0.5f);
    }
    return out;
}

}  // namespace demi::data
