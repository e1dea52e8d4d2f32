#include "examples/data/scene.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "examples/data/shapes.h"

namespace demi::data {
namespace {

struct Rgb {
    float r = 0, g = 0, b = 0;
};

Rgb mix(Rgb a, Rgb b, float t) {
    return {a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t};
}

float luma(Rgb c) { return 0.299f * c.r + 0.587f * c.g + 0.114f * c.b; }

Rgb random_color(KeyedRng& rng) {
    const float hue = rng.uniform(0, 6);
    const float saturation = rng.uniform(0.15f, 0.9f);
    const float value = rng.uniform(0.2f, 1.0f);
    const auto channel = [&](float shift) {
        float k = hue + shift;
        k -= 6 * std::floor(k / 6);
        return value * (1 - saturation * std::clamp(std::min(k, 4 - k), 0.0f, 1.0f));
    };
    return {channel(5), channel(3), channel(1)};
}

// A color whose brightness differs from the other's by at least the gap; the last try is pushed apart.
Rgb contrasting_color(Rgb other, float gap, KeyedRng& rng) {
    Rgb c;
    for (int attempt = 0; attempt < 8; ++attempt) {
        c = random_color(rng);
        if (std::fabs(luma(c) - luma(other)) >= gap) return c;
    }
    return luma(other) > 0.5f ? mix(c, {0.05f, 0.05f, 0.1f}, 0.8f) : mix(c, {1.0f, 0.97f, 0.9f}, 0.8f);
}

// The ground: two colors blended by a slope, by waves or by a few soft hills.
struct Ground {
    Rgb a, b;
    int64_t kind = 0;
    Rotation turn;
    float frequency = 0, phase = 0;
    std::array<Point, 4> hills{};

    explicit Ground(KeyedRng& rng) {
        a = random_color(rng);
        b = mix(a, random_color(rng), 0.35f);
        kind = rng.below(3);
        turn = Rotation(rng.uniform());
        frequency = rng.uniform(0.4f, 1.3f);
        phase = rng.uniform();
        for (Point& hill : hills) hill = {rng.uniform(-1, 1), rng.uniform(-1, 1)};
    }

    Rgb at(Point p) const {
        if (kind == 0) return mix(a, b, std::clamp(0.5f + 0.5f * turn(p).x, 0.0f, 1.0f));
        if (kind == 1) return mix(a, b, 0.5f + 0.5f * sin_turn(turn(p).x * frequency + phase));
        float height = 0;
        for (const Point& hill : hills) {
            const float dx = p.x - hill.x;
            const float dy = p.y - hill.y;
            height = std::max(height, 1 / (1 + 6 * (dx * dx + dy * dy)));
        }
        return mix(a, b, height);
    }
};

// A small dot or a thin line, half transparent.
struct Distractor {
    Rgb color;
    Point center;
    Rotation turn;
    float half_length = 0, half_width = 0, opacity = 0;

    Distractor(Rgb ground, KeyedRng& rng) {
        color = mix(ground, random_color(rng), 0.7f);
        center = {rng.uniform(-1, 1), rng.uniform(-1, 1)};
        turn = Rotation(rng.uniform());
        half_length = rng.chance(0.5f) ? 0.0f : rng.uniform(0.15f, 0.5f);
        half_width = rng.uniform(0.04f, 0.12f);
        opacity = rng.uniform(0.3f, 0.7f);
    }

    float distance(Point p) const {
        const Point q = turn({p.x - center.x, p.y - center.y});
        const float x = std::max(std::fabs(q.x) - half_length, 0.0f);
        return std::sqrt(x * x + q.y * q.y) - half_width;
    }
};

float coverage(float distance, float pixel) { return std::clamp(0.5f - distance / pixel, 0.0f, 1.0f); }

}  // namespace

Image draw_scene(int64_t figure, int64_t size, KeyedRng& rng) {
    const Ground ground(rng);
    const Rgb base = mix(ground.a, ground.b, 0.5f);
    const Rgb ink_a = contrasting_color(base, 0.4f, rng);
    const Rgb ink_b = mix(ink_a, contrasting_color(base, 0.4f, rng), 0.35f);
    const float scale = rng.uniform(0.56f, 0.86f);
    const float room = 1.06f - scale;
    const Point center{rng.uniform(-room, room), rng.uniform(-room, room)};
    const Rotation turn(rng.uniform());
    const Rotation shade(rng.uniform());
    const float variant = rng.uniform();
    const float noise = rng.uniform(0.0f, 0.03f);
    const int64_t count = rng.below(3);
    std::vector<Distractor> distractors;
    for (int64_t i = 0; i < count; ++i) distractors.emplace_back(base, rng);

    Image image(size, size, 3);
    const float pixel = 2.0f / static_cast<float>(size);
    for (int64_t y = 0; y < size; ++y) {
        for (int64_t x = 0; x < size; ++x) {
            const Point p{(static_cast<float>(x) + 0.5f) * pixel - 1,
                          (static_cast<float>(y) + 0.5f) * pixel - 1};
            Rgb c = ground.at(p);
            for (const Distractor& d : distractors)
                c = mix(c, d.color, d.opacity * coverage(d.distance(p), pixel));
            Point q = turn({p.x - center.x, p.y - center.y});
            q = {q.x / scale, q.y / scale};
            const Rgb ink = mix(ink_a, ink_b, std::clamp(0.5f + 0.6f * shade(q).x, 0.0f, 1.0f));
            c = mix(c, ink, coverage(figure_distance(figure, q, variant) * scale, pixel));
            for (int64_t k = 0; k < 3; ++k) {
                const float value = (k == 0 ? c.r : k == 1 ? c.g : c.b) + noise * rng.bell();
                image.at(y, x, k) = static_cast<uint8_t>(std::clamp(value, 0.0f, 1.0f) * 255 + 0.5f);
            }
        }
    }
    return image;
}

}  // namespace demi::data
