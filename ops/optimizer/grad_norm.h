#pragma once
// The global length of many gradients, and clipping by it.
#include "runtime/capture.h"

namespace demi {

// sqrt(sum of squares over all elements of all tensors), squares added in f64 in an order that depends on the
// sizes only; squares of f64 may leave its range. Undefined tensors count as zeros. NaN or infinity anywhere
// gives a norm that is not finite. Tensors on one device, any float dtypes and strides.
double grad_norm(std::span<const Tensor> grads);

// What clip_grad_norm multiplies with: min(1, max_norm / (norm + 1e-6)), and 1 for a norm that is not finite.
double clip_factor(double norm, double max_norm);

// Scales all gradients in place by clip_factor(norm, max_norm) and returns the norm from before. A norm
// that is not finite is returned and nothing is scaled: the caller decides (std::isfinite). Scaled
// tensors must be contiguous.
double clip_grad_norm(std::span<const Tensor> grads, double max_norm);

// The same for several groups of gradients, without waiting for the device: f64 [2, groups] on `device`. Row
// 0: the norms, times multiplier. Row 1: what the gradients are to be multiplied with (adamw's and sgd's
// `factor`), multiplier * clip_factor(norm, max_norm), or multiplier where max_norm is 0; NaN for all groups
// where any norm is not finite, so that no group takes a step. At most 64 groups.
Tensor grad_factors(std::span<const std::vector<Tensor>> groups, const LiveNumber& multiplier,
                    double max_norm, Device device);

// grads *= factor, in place, rounded once. Contiguous.
void scale_grads(std::span<const Tensor> grads, double factor);

// False on any NaN or infinity.
bool grads_finite(std::span<const Tensor> grads);

}  // namespace demi
