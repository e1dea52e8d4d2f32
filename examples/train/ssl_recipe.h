#pragma once
// What train_dinov2 does when it is not told: settings that were tried on two cores, one set for figures
// (drawn pictures: any colour, any turn) and one for photographs (everything else).
#include "examples/data/open.h"
#include "examples/train/options.h"

namespace demi::examples {

// Fills in what the command line left open (negative numbers, sizes and counts of 0).
void apply_recipe(TrainOptions& options, const data::OpenedData& data);

}  // namespace demi::examples
