#pragma once
// The part of the command line that only self-supervised training has.
#include "examples/train/options.h"

namespace demi::examples {

extern const MoreOptions self_supervised_options;

}  // namespace demi::examples
