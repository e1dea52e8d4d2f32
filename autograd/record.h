#pragma once
// record(): the only door into the graph. An op computes its value, then records how to go back:
//
//   Tensor y = ...;
//   return record("scale", {x}, y, [factor](const Tensor& dy, const Needs&) -> Tensors { return {mul(dy,
//   factor)}; });
//
// The lambda captures Tensors (as Saved) and plain values, never Variables: the capture list is the list of
// saved tensors, and cycles cannot form. It returns one gradient per input, in the input's shape and dtype,
// or an undefined Tensor for inputs that need none (needs[i] is false). Where gradients are off or no input
// needs one, the value is returned without history and the lambda is dropped.
#include <span>
#include <string_view>
#include <vector>

#include "autograd/variable.h"

namespace demi {

using Tensors = std::vector<Tensor>;

// Which inputs of a node need a gradient.
class Needs {
  public:
    explicit Needs(std::vector<bool> bits) : bits_(std::move(bits)) {}
    bool operator[](size_t i) const { return bits_[i]; }
    size_t size() const { return bits_.size(); }
    bool any() const;

  private:
    std::vector<bool> bits_;
};

// Gradients of all outputs in order; undefined where an output got none.
using Backward = std::function<Tensors(std::span<const Tensor> grads, const Needs& needs)>;

Variable record(std::string_view op, const std::vector<Variable>& inputs, Tensor value,
                std::function<Tensors(const Tensor& grad, const Needs& needs)> backward);

// Several outputs; the lambda sees an undefined gradient for an output that nobody used.
std::vector<Variable> record(std::string_view op, const std::vector<Variable>& inputs, Tensors values,
                             Backward backward);

// Whether an op on these inputs will be recorded: lets a wrapper skip work that only backward needs.
bool needs_grad(const std::vector<Variable>& inputs);
bool needs_grad(std::initializer_list<const Variable*> inputs);

// A saved tensor: reading it after its memory was written to throws, instead of giving a wrong gradient.
class Saved {
  public:
    Saved() = default;
    Saved(Tensor tensor) : tensor_(std::move(tensor)), version_(tensor_.version()) {}
    Saved(const Variable& variable) : Saved(variable.value()) {}
    const Tensor& get() const;
    operator const Tensor&() const { return get(); }

  private:
    Tensor tensor_;
    uint64_t version_ = 0;
};

}  // namespace demi
