#include "examples/data/color.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace demi::data {
namespace {

float clamp01(float x) { return std::clamp(x, 0.0f, 1.0f); }

float gray_of(const Planes& p, int64_t i) {
    if (p.channels == 1) return p.values[static_cast<size_t>(i)];
    return 0.299f * p.plane(0)[i] + 0.587f * p.plane(1)[i] + 0.114f * p.plane(2)[i];
}

// Six sectors of the hue circle, without a table: channel n of (hue, saturation, value).
float hsv_channel(float n, float hue, float saturation, float value) {
    float k = n + hue * 6;
    k -= 6 * std::floor(k / 6);
    return value - value * saturation * clamp01(std::min(k, 4 - k));
}

}  // namespace

void adjust_brightness(Planes& p, float factor) {
    for (float& x : p.values) x = clamp01(x * factor);
}

void adjust_contrast(Planes& p, float factor) {
    double sum = 0;
    for (int64_t i = 0; i < p.area(); ++i) sum += static_cast<double>(gray_of(p, i));
    const auto mean = static_cast<float>(sum / static_cast<double>(p.area()));
    for (float& x : p.values) x = clamp01(mean + (x - mean) * factor);
}

void adjust_saturation(Planes& p, float factor) {
    if (p.channels != 3) return;
    for (int64_t i = 0; i < p.area(); ++i) {
        const float gray = gray_of(p, i);
        for (int64_t c = 0; c < 3; ++c) p.plane(c)[i] = clamp01(gray + (p.plane(c)[i] - gray) * factor);
    }
}

void adjust_hue(Planes& p, float turns) {
    if (p.channels != 3) return;
    float* red = p.plane(0);
    float* green = p.plane(1);
    float* blue = p.plane(2);
    for (int64_t i = 0; i < p.area(); ++i) {
        const float r = red[i], g = green[i], b = blue[i];
        const float value = std::max({r, g, b});
        const float spread = value - std::min({r, g, b});
        if (spread <= 0) continue;
        float hue = value == r ? (g - b) / spread : value == g ? 2 + (b - r) / spread : 4 + (r - g) / spread;
        hue = hue / 6 + turns;
        const float saturation = spread / value;
        red[i] = clamp01(hsv_channel(5, hue, saturation, value));
        green[i] = clamp01(hsv_channel(3, hue, saturation, value));
        blue[i] = clamp01(hsv_channel(1, hue, saturation, value));
    }
}

void to_gray(Planes& p) {
    if (p.channels != 3) return;
    for (int64_t i = 0; i < p.area(); ++i) {
        const float gray = clamp01(gray_of(p, i));
        for (int64_t c = 0; c < 3; ++c) p.plane(c)[i] = gray;
    }
}

void solarize(Planes& p, float threshold) {
    for (float& x : p.values) x = x >= threshold ? 1 - x : x;
}

void gaussian_blur(Planes& p, float sigma, int64_t radius) {
    if (sigma <= 0) return;
    radius = std::min(radius, static_cast<int64_t>(std::ceil(4 * sigma)));
    std::vector<float> weights(static_cast<size_t>(radius) + 1);
    float sum = 0;
    for (int64_t k = 0; k <= radius; ++k) {
        const float x = static_cast<float>(k) / sigma;
        weights[static_cast<size_t>(k)] = std::exp(-0.5f * x * x);
        sum += weights[static_cast<size_t>(k)] * (k == 0 ? 1.0f : 2.0f);
    }
    for (float& w : weights) w /= sum;
    const auto mirrored = [](int64_t i, int64_t n) {
        const int64_t period = std::max<int64_t>(2 * (n - 1), 1);
        i = (i % period + period) % period;
        return i < n ? i : period - i;
    };
    std::vector<float> line(static_cast<size_t>(std::max(p.height, p.width)));
    const auto blur_line = [&](float* start, int64_t n, int64_t stride) {
        for (int64_t i = 0; i < n; ++i) {
            float value = weights[0] * start[i * stride];
            for (int64_t k = 1; k <= radius; ++k) {
                const int64_t low = i - k >= 0 ? i - k : mirrored(i - k, n);
                const int64_t high = i + k < n ? i + k : mirrored(i + k, n);
                value += weights[static_cast<size_t>(k)] * (start[low * stride] + start[high * stride]);
            }
            line[static_cast<size_t>(i)] = clamp01(value);
        }
        for (int64_t i = 0; i < n; ++i) start[i * stride] = line[static_cast<size_t>(i)];
    };
    for (int64_t c = 0; c < p.channels; ++c) {
        for (int64_t y = 0; y < p.height; ++y) blur_line(p.plane(c) + y * p.width, p.width, 1);
        for (int64_t x = 0; x < p.width; ++x) blur_line(p.plane(c) + x, p.height, p.width);
    }
}

void flip_horizontal(Planes& p) {
    for (int64_t row = 0; row < p.channels * p.height; ++row)
        std::reverse(p.values.begin() + row * p.width, p.values.begin() + (row + 1) * p.width);
}

void quarter_turn(Planes& p) {
    const int64_t n = p.width;
    for (int64_t c = 0; c < p.channels; ++c)
        for (int64_t y = 0; y < n / 2; ++y)
            for (int64_t x = 0; x < (n + 1) / 2; ++x) {
                float* v = p.plane(c);
                float& a = v[y * n + x];
                float& b = v[x * n + n - 1 - y];
                float& d = v[(n - 1 - y) * n + n - 1 - x];
                float& e = v[(n - 1 - x) * n + y];
                const float first = a;
                a = b;
                b = d;
                d = e;
                e = first;
            }
}

void color_jitter(Planes& p, const Jitter& strength, KeyedRng& rng) {
    std::array<int, 4> order = {0, 1, 2, 3};
    for (size_t i = 3; i > 0; --i)
        std::swap(order[i], order[static_cast<size_t>(rng.below(static_cast<int64_t>(i) + 1))]);
    const auto factor = [&](float s) { return rng.uniform(std::max(0.0f, 1 - s), 1 + s); };
    const float brightness = factor(strength.brightness);
    const float contrast = factor(strength.contrast);
    const float saturation = factor(strength.saturation);
    const float hue = rng.uniform(-strength.hue, strength.hue);
    for (const int step : order) {
        if (step == 0 && strength.brightness > 0) adjust_brightness(p, brightness);
        if (step == 1 && strength.contrast > 0) adjust_contrast(p, contrast);
        if (step == 2 && strength.saturation > 0) adjust_saturation(p, saturation);
        if (step == 3 && strength.hue > 0) adjust_hue(p, hue);
    }
}

}  // namespace demi::data
