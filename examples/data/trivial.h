#pragma once
// TrivialAugment (Mueller and Hutter, 2021): one operation, chosen at random, with a random strength. In
// place, on planes in [0, 1]; what comes from outside the picture is grey (0.5).
#include "examples/data/keyed_rng.h"
#include "examples/data/planes.h"

namespace demi::data {

enum class TrivialOp {
    identity,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
    rotate,
    brightness,
    color,
    contrast,
    sharpness,
    posterize,
    solarize,
    autocontrast,
    equalize,
    count
};

// `strength` in [0, 1] of the widest range of the paper; `sign` is 1 or -1 where there are two directions.
void apply_trivial(Planes& planes, TrivialOp op, float strength, float sign);
void trivial_augment(Planes& planes, KeyedRng& rng);

}  // namespace demi::data
