#include "examples/data/shapes.h"

#include <algorithm>
#include <cmath>

namespace demi::data {
namespace {

float length(Point p) { return std::sqrt(p.x * p.x + p.y * p.y); }

float box(Point p, float half_x, float half_y) {
    return std::max(std::fabs(p.x) - half_x, std::fabs(p.y) - half_y);
}

// The plane folded into one of n equal sectors about the x axis.
Point fold(Point p, float n) {
    const float turn = turn_of(p);
    const float sector = std::floor(turn * n + 0.5f) / n;
    return Rotation(-sector)(p);
}

float regular_polygon(Point p, float n, float inner_radius) { return fold(p, n).x - inner_radius; }

// A dot within a ring.
float target(Point p, float dot) {
    const float radius = length(p);
    return std::min(radius - dot, std::fabs(radius - 0.78f) - 0.13f);
}

float stripes(Point p, float period) {
    const float t = p.y / period;
    const float bar = (std::fabs(t - std::floor(t + 0.5f)) - 0.25f) * period;
    return std::max(bar, length(p) - 0.95f);
}

float checker(Point p, float period) {
    const float u = p.x / period - std::floor(p.x / period) - 0.5f;
    const float v = p.y / period - std::floor(p.y / period) - 0.5f;
    const float du = (0.5f - std::fabs(u)) * period;
    const float dv = (0.5f - std::fabs(v)) * period;
    const auto cell = static_cast<int64_t>(std::floor(p.x / period) + std::floor(p.y / period));
    const float edge = std::min(du, dv);
    return std::max((cell & 1) == 0 ? -edge : edge, box(p, 0.85f, 0.85f));
}

float spiral(Point p, float pitch, bool mirrored) {
    const float turn = mirrored ? 1.0f - turn_of(p) : turn_of(p);
    const float t = length(p) / pitch - turn;
    const float arm = (std::fabs(t - std::floor(t + 0.5f)) - 0.24f) * pitch;
    return std::max(arm, length(p) - 1.0f);
}

}  // namespace

const std::vector<std::string>& figure_names() {
    static const std::vector<std::string> names = {"disc",  "ring",     "square",  "triangle", "target",
                                                   "cross", "crescent", "stripes", "checker",  "spiral"};
    return names;
}

float figure_distance(int64_t figure, Point p, float variant) {
    switch (figure) {
    case 0: return length(p) - 0.85f;
    case 1: return std::fabs(length(p) - 0.68f) - (0.14f + 0.1f * variant);
    case 2: return box(p, 0.74f, 0.74f);
    case 3: return regular_polygon(p, 3.0f, 0.52f);
    case 4: return target(p, 0.34f + 0.1f * variant);
    case 5: {
        const float arm = 0.16f + 0.08f * variant;
        return std::min(box(p, 0.92f, arm), box(p, arm, 0.92f));
    }
    case 6: {
        const Point bite{p.x - 0.34f - 0.12f * variant, p.y};
        return std::max(length(p) - 0.9f, 0.74f - length(bite));
    }
    case 7: return stripes(p, 0.5f + 0.1f * variant);
    case 8: return checker(p, 0.46f + 0.1f * variant);
    default: return spiral(p, 0.5f + 0.08f * variant, variant < 0.5f);
    }
}

float sin_turn(float turn) {
    double t = static_cast<double>(turn);
    t -= std::floor(t + 0.5);  // [-1/2, 1/2)
    if (t > 0.25) t = 0.5 - t;
    if (t < -0.25) t = -0.5 - t;
    const double x = t * 6.283185307179586;  // [-pi/2, pi/2]
    const double s = x * x;
    return static_cast<float>(
        x * (1 + s * (-1.0 / 6 + s * (1.0 / 120 + s * (-1.0 / 5040 + s * (1.0 / 362880 - s / 39916800))))));
}

float cos_turn(float turn) { return sin_turn(turn + 0.25f); }

float turn_of(Point p) {
    const double ax = std::fabs(static_cast<double>(p.x));
    const double ay = std::fabs(static_cast<double>(p.y));
    const double big = std::max(ax, ay);
    if (big == 0) return 0;
    // arctan on [0, 1], reduced once to [-0.42, 0.42] by arctan(r) = 1/16 turn*2 + arctan((r - c)/(1 + r c)).
    const double r = std::min(ax, ay) / big;
    const double c = 0.41421356237309503;  // tan(pi / 8)
    const double z = (r - c) / (1 + r * c);
    const double s = z * z;
    const double series =
        z * (1 + s * (-1.0 / 3 + s * (1.0 / 5 + s * (-1.0 / 7 + s * (1.0 / 9 + s * (-1.0 / 11 + s / 13))))));
    double turn = 0.0625 + series / 6.283185307179586;
    if (ay > ax) turn = 0.25 - turn;
    if (p.x < 0) turn = 0.5 - turn;
    if (p.y < 0) turn = 1 - turn;
    const auto result = static_cast<float>(turn);
    return result >= 1.0f ? 0.0f : std::max(result, 0.0f);
}

}  // namespace demi::data
