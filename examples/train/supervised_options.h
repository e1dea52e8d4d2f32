#pragma once
// The part of the command line that only supervised training has.
#include "examples/train/options.h"

namespace demi::examples {

extern const MoreOptions supervised_options;

}  // namespace demi::examples
