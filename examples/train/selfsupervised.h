#pragma once
// DINOv2 training of a backbone, from parsed options to checkpoint and report.
#include "examples/train/options.h"
#include "runtime/comm/communicator.h"

namespace demi::examples {

// Returns the exit status: 0, or 1 when the k-NN accuracy stays below --expect-accuracy. Throws Error.
int train_selfsupervised(TrainOptions options, const Communicator& world);

}  // namespace demi::examples
