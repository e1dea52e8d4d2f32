#pragma once
#include <string>

#include "runtime/device.h"

namespace demi::examples {

// The device that --device names. Throws where it is not there; "auto" falls back to the CPU, and a build
// with CUDA says once on stderr why.
Device usable_device(const std::string& name);

}  // namespace demi::examples
