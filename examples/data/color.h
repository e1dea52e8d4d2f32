#pragma once
// Changes of colour, in place on planes in [0, 1]; every result stays in [0, 1]. Pictures with one channel
// have no saturation and no hue: those steps leave them alone.
#include "examples/data/keyed_rng.h"
#include "examples/data/planes.h"

namespace demi::data {

void adjust_brightness(Planes& p, float factor);  // x * factor
void adjust_contrast(Planes& p, float factor);    // towards or away from the picture's mean grey
void adjust_saturation(Planes& p, float factor);  // towards or away from each pixel's grey
void adjust_hue(Planes& p, float turns);          // around the colour circle; 1 is a full turn
void to_gray(Planes& p);
void solarize(Planes& p, float threshold);                       // x >= threshold becomes 1 - x
void gaussian_blur(Planes& p, float sigma, int64_t radius = 4);  // borders mirrored
void flip_horizontal(Planes& p);

struct Jitter {
    float brightness = 0, contrast = 0, saturation = 0, hue = 0;
    bool any() const { return brightness > 0 || contrast > 0 || saturation > 0 || hue > 0; }
};

void quarter_turn(Planes& planes);  // counter-clockwise; square planes

// Factors from [max(0, 1 - s), 1 + s], hue from [-hue, hue], the four steps in random order.
void color_jitter(Planes& p, const Jitter& strength, KeyedRng& rng);

}  // namespace demi::data
