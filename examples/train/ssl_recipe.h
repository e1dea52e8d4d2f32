#pragma once
// What train_dinov2 does when it is not told: settings that were tried on two cores, one set for figures
// (drawn pictures: any colour, any turn) and one for photographs (everything else).
#include "examples/data/open.h"
#include "examples/train/options.h"

namespace demi::examples {

// What options hold that were not given: for drawn figures, and for photographs.
struct Recipe {
    int64_t steps, patch;  // patch 0: by the picture's size
    double large, small;   // sides of the crops, in sides of the picture
    double lr, teacher_temp, teacher_momentum;
    double global_share, local_share, local_share_end;
    double color, hue, gray, invert;
};
inline constexpr Recipe kFigures = {4000, 8, 1, 0.5, 1.5e-3, 0.02, 0.9, 0.6, 0.3, 0.7, 2, 0.2, 0.5, 0.5};
inline constexpr Recipe kPhotographs = {4000, 0,   0.75, 0.375, 1.5e-3, 0.03, 0.95,
                                        0.4,  0.2, 0.5,  1,     0.1,    0.2,  0};

// Fills in what the command line left open (negative numbers, sizes and counts of 0).
void apply_recipe(TrainOptions& options, const data::OpenedData& data);

}  // namespace demi::examples
