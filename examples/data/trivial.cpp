#include "examples/data/trivial.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "examples/data/color.h"

namespace demi::data {
namespace {

// out(x, y) = in(a x + b y + e, c x + d y + f) around the centre, bilinear.
void warp(Planes& planes, float a, float b, float c, float d, float e, float f) {
    const Planes in = planes;
    const auto cx = static_cast<float>(in.width - 1) / 2, cy = static_cast<float>(in.height - 1) / 2;
    for (int64_t y = 0; y < in.height; ++y)
        for (int64_t x = 0; x < in.width; ++x) {
            const float dx = static_cast<float>(x) - cx, dy = static_cast<float>(y) - cy;
            const float sx = a * dx + b * dy + cx + e, sy = c * dx + d * dy + cy + f;
            const auto x0 = static_cast<int64_t>(std::floor(sx)), y0 = static_cast<int64_t>(std::floor(sy));
            const float u = sx - static_cast<float>(x0), v = sy - static_cast<float>(y0);
            for (int64_t k = 0; k < in.channels; ++k) {
                const auto at = [&](int64_t row, int64_t column) {
                    const bool inside = row >= 0 && row < in.height && column >= 0 && column < in.width;
                    return inside ? in.plane(k)[row * in.width + column] : 0.5f;
                };
                const float top = at(y0, x0) * (1 - u) + at(y0, x0 + 1) * u;
                const float bottom = at(y0 + 1, x0) * (1 - u) + at(y0 + 1, x0 + 1) * u;
                planes.plane(k)[y * in.width + x] = top * (1 - v) + bottom * v;
            }
        }
}

// Towards or away from the picture under a 3 x 3 filter with a heavy centre; the border stays.
void sharpness(Planes& planes, float factor) {
    const Planes in = planes;
    const int64_t w = in.width;
    for (int64_t k = 0; k < in.channels; ++k)
        for (int64_t y = 1; y + 1 < in.height; ++y)
            for (int64_t x = 1; x + 1 < w; ++x) {
                const float* p = in.plane(k) + y * w + x;
                float sum = 4 * p[0];
                for (int64_t dy = -1; dy <= 1; ++dy)
                    for (int64_t dx = -1; dx <= 1; ++dx) sum += p[dy * w + dx];
                const float soft = sum / 13;
                planes.plane(k)[y * w + x] = std::clamp(soft + factor * (p[0] - soft), 0.0f, 1.0f);
            }
}

void autocontrast(Planes& planes) {
    for (int64_t k = 0; k < planes.channels; ++k) {
        float* p = planes.plane(k);
        const auto [low, high] = std::minmax_element(p, p + planes.area());
        const float least = *low, range = *high - *low;
        if (range > 0)
            for (int64_t i = 0; i < planes.area(); ++i) p[i] = (p[i] - least) / range;
    }
}

// Each channel's values to their ranks: what is below, and half of what is equal.
void equalize(Planes& planes) {
    for (int64_t k = 0; k < planes.channels; ++k) {
        float* p = planes.plane(k);
        const auto level = [](float x) {
            return static_cast<size_t>(std::clamp(x, 0.0f, 1.0f) * 255 + 0.5f);
        };
        std::array<float, 256> count{}, rank{};
        for (int64_t i = 0; i < planes.area(); ++i) ++count[level(p[i])];
        float below = 0;
        for (size_t v = 0; v < 256; ++v) {
            rank[v] = (below + count[v] / 2) / static_cast<float>(planes.area());
            below += count[v];
        }
        for (int64_t i = 0; i < planes.area(); ++i) p[i] = rank[level(p[i])];
    }
}

void posterize(Planes& planes, int bits) {
    const int mask = 256 - (1 << (8 - bits));
    for (float& x : planes.values)
        x = static_cast<float>(static_cast<int>(std::clamp(x, 0.0f, 1.0f) * 255 + 0.5f) & mask) / 255;
}

}  // namespace

void apply_trivial(Planes& planes, TrivialOp op, float strength, float sign) {
    const float signed_strength = sign * strength, factor = 1 + 0.99f * signed_strength;
    const auto side = static_cast<float>(std::max(planes.width, planes.height));
    switch (op) {
    case TrivialOp::shear_x: warp(planes, 1, 0.99f * signed_strength, 0, 1, 0, 0); break;
    case TrivialOp::shear_y: warp(planes, 1, 0, 0.99f * signed_strength, 1, 0, 0); break;
    case TrivialOp::translate_x: warp(planes, 1, 0, 0, 1, side / 7 * signed_strength, 0); break;
    case TrivialOp::translate_y: warp(planes, 1, 0, 0, 1, 0, side / 7 * signed_strength); break;
    case TrivialOp::rotate: {
        const float angle = 2.35619449f * signed_strength;  // 135 degrees
        warp(planes, std::cos(angle), -std::sin(angle), std::sin(angle), std::cos(angle), 0, 0);
        break;
    }
    case TrivialOp::brightness: adjust_brightness(planes, factor); break;
    case TrivialOp::color: adjust_saturation(planes, factor); break;
    case TrivialOp::contrast: adjust_contrast(planes, factor); break;
    case TrivialOp::sharpness: sharpness(planes, factor); break;
    case TrivialOp::posterize: posterize(planes, 8 - static_cast<int>(strength * 6 + 0.5f)); break;
    case TrivialOp::solarize: solarize(planes, 1 - strength); break;
    case TrivialOp::autocontrast: autocontrast(planes); break;
    case TrivialOp::equalize: equalize(planes); break;
    default: break;
    }
}

void trivial_augment(Planes& planes, KeyedRng& rng) {
    const auto op = static_cast<TrivialOp>(rng.below(static_cast<int64_t>(TrivialOp::count)));
    const float strength = rng.uniform();
    apply_trivial(planes, op, strength, rng.chance(0.5f) ? 1.0f : -1.0f);
}

}  // namespace demi::data
