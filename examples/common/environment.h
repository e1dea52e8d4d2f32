#pragma once

#include "examples/common/record.h"

namespace demi::examples {

// What a run ran on: version, instruction set, threads, processor, compiler, system. For config.json and the
// report; the trainer adds its device.
Record environment();

}  // namespace demi::examples
