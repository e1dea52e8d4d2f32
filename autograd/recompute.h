#pragma once
// Activation checkpointing: forget what fn saves, run it again when its gradient is asked for.
#include <functional>

#include "autograd/variable.h"
#include "runtime/random.h"

namespace demi {

// y = fn(inputs), saving only the inputs. Backward runs fn a second time with recording on, then sweeps it.
// fn may capture leaves (parameters): they collect their gradients as usual. Every non-leaf that it uses must
// be one of `inputs`. With `generator`, fn sees the same random numbers both times.
Variable recompute(std::function<Variable(const std::vector<Variable>&)> fn,
                   const std::vector<Variable>& inputs, Generator* generator = nullptr);

}  // namespace demi
