#pragma once
#include "runtime/strided.h"

namespace demi::gpu {
using demi::Offsets;
using demi::offsets_of;
using demi::Strided;
}  // namespace demi::gpu
