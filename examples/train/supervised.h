#pragma once
// Supervised training of a Classifier, from parsed options to checkpoint and report.
#include "examples/train/options.h"
#include "runtime/comm/communicator.h"

namespace demi::examples {

// Returns the exit status: 0, or 1 when the accuracy stays below --expect-accuracy, or
// 128 + signal. Throws Error.
int train_supervised(TrainOptions options, const Communicator& world);

}  // namespace demi::examples
