#pragma once
// One picture of the drawn data set: a figure on a textured ground among faint distractors.
#include <cstdint>

#include "examples/data/image.h"
#include "examples/data/keyed_rng.h"

namespace demi::data {

Image draw_scene(int64_t figure, int64_t size, KeyedRng& rng);

}  // namespace demi::data
