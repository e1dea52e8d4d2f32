#pragma once
// Exponential moving average of parameters: average = decay * average + (1 - decay) * parameter.
#include "models/parameter.h"

namespace demi {

// dst and src by position, as copy_parameters.
void ema_update(const NamedParameters& average, const NamedParameters& parameters, double decay);

}  // namespace demi
