#pragma once
// The ten figures of the drawn data set, as distances: negative inside, positive outside, about 1 across.
// Only +, -, *, /, sqrt and own polynomials, so every machine draws the same bytes.
#include <cstdint>
#include <string>
#include <vector>

namespace demi::data {

struct Point {
    float x = 0;
    float y = 0;
};

const std::vector<std::string>& figure_names();
float figure_distance(int64_t figure, Point p, float variant);  // variant in [0, 1) picks within a class

// Sine and cosine of an angle in turns (1 = full circle), and the inverse: the turn of a point in [0, 1).
float sin_turn(float turn);
float cos_turn(float turn);
float turn_of(Point p);

struct Rotation {
    float cosine = 1;
    float sine = 0;

    Rotation() = default;
    explicit Rotation(float turn) : cosine(cos_turn(turn)), sine(sin_turn(turn)) {}
    Point operator()(Point p) const { return {cosine * p.x - sine * p.y, sine * p.x + cosine * p.y}; }
};

}  // namespace demi::data
