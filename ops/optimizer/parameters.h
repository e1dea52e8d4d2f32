#pragma once
// Internal: checks that the optimizers share; `index` is the tensor's place in the list.
#include <vector>

#include "ops/op.h"

namespace demi {

// A contiguous float parameter.
void check_parameter(const Op& op, size_t index, const Tensor& param);
// A gradient (or another tensor) of the parameter's shape and device: f64 beside f64, else f16, bf16 or f32.
void check_beside(const Op& op, size_t index, std::string_view name, const Tensor& param,
                  const Tensor& other);
// Optimizer state: the parameter's shape and device, contiguous, f32 (f64 beside f64).
void check_state(const Op& op, size_t index, std::string_view name, const Tensor& param, const Tensor& state);
// What a gradient is multiplied with where that is decided on the device: undefined, or f64 [1] beside the parameter.
void check_factor(const Op& op, size_t index, const Tensor& param, const Tensor& factor);

// Which of these AdamwTensors or SgdTensors take a step: those with a gradient and elements, checked, on one device.
template <class Tensors> std::vector<size_t> tensors_to_step(const Op& op, const Tensors& tensors) {
    std::vector<size_t> work;
    size_t first = tensors.size();
    for (size_t i = 0; i < tensors.size(); ++i) {
        const auto& t = tensors[i];
        check_parameter(op, i, t.param);
        if (!t.grad.defined()) continue;
        check_beside(op, i, "gradient", t.param, t.grad);
        check_factor(op, i, t.param, t.factor);
        first = first < i ? first : i;
        op.check(tensors[first].param.device() == t.param.device(), "parameters must be on one device: got ",
                 t.param, " at ", i);
        if (t.param.numel() != 0) work.push_back(i);
    }
    return work;
}

}  // namespace demi
