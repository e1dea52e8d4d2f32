#pragma once
// Activation checkpointing: forget what fn saves, run it again when its gradient is asked for.
#include <functional>

#include "autograd/variable.h"
#include "runtime/random.h"

namespace demi {

// y = fn(inputs), saving only the inputs. Backward runs fn a second time and sweeps what it records.
// Gradients come out as without recompute (up to rounding: each fn first sums its own share), those of leaves
// and of results of ops that fn captures included, and hooks see them complete, once. y requires a gradient
// where fn(inputs) does.
//
// fn must do the same thing both times. With `generator`, which must live until then, it draws the same
// random numbers. Where a tensor that an op in it reads was written to or replaced in between, backward
// throws, even where fn(inputs) alone would not need that tensor again. A leaf that requires a gradient must be
// made outside: one that fn makes, and its result depends on, throws. Hooks on variables within fn run in the
// second pass. Both passes record, so memory peaks at what one fn saves; NoGrad within fn holds in both.
Variable recompute(std::function<Variable(const std::vector<Variable>&)> fn,
                   const std::vector<Variable>& inputs, Generator* generator = nullptr);

}  // namespace demi
