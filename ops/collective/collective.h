#pragma once
// Ops over the ranks of a job; each is the other's backward. All ranks must call them, and go back through them, in the
// same order. Sums over ranks are taken in f32 (f64 for f64), in a fixed binary tree, and rounded once.
#include "autograd/variable.h"
#include "runtime/comm/communicator.h"

namespace demi {

// y = [x_0, x_1, ...]: every rank's x [n, ...], one after another, on all of them, [size * n, ...].
// dx = block `rank` of dy_0 + dy_1 + ...
// Any dtype.
Variable all_gather(const Variable& x, const Communicator& world);

// y = block `rank` of x_0 + x_1 + ...: all ranks' x are [size * n, ...], y is [n, ...].
// dx = [dy_0, dy_1, ...]
// Float dtypes.
Variable reduce_scatter(const Variable& x, const Communicator& world);

}  // namespace demi
