#pragma once
// record(): the only door into the graph. An op computes its value, then records how to go back:
//
//   Tensor y = ...;
//   return record("scale", {x}, y, [factor](const Tensor& dy, const Needs&) -> Tensors {
//       return {mul(dy, factor)};
//   });
//
// The lambda captures Tensors (as Saved) and plain values, never Variables: the capture list is the list of
// saved tensors, and cycles cannot form. It returns one gradient per input, in the input's shape and dtype,
// or an undefined Tensor for inputs that need none (needs[i] is false). Where gradients are off or no input
// needs one, the value is returned without history and the lambda is dropped.
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "autograd/variable.h"

namespace demi {

// Which inputs of a node need a gradient.
class Needs {
  public:
    explicit Needs(std::vector<bool> bits) : bits_(std::move(bits)) {}
    bool operator[](size_t i) const {
        check(i < bits_.size(), "needs", "the op has ", bits_.size(), " inputs: asked for ", i);
        return bits_[i];
    }
    size_t size() const { return bits_.size(); }
    bool any() const;

  private:
    friend class Sweep;
    std::vector<bool> bits_;
};

// The inputs of an op, seen where they are: `{x, w}` or a vector. An undefined one and
// a Tensor need no gradient.
class Inputs {
  public:
    struct Input {
        const Tensor* value;
        const Variable* variable = nullptr;
        Input(const Tensor& tensor) : value(&tensor) {}
        Input(const Variable& v) : value(&v.value()), variable(&v) {}
    };
    Inputs(std::initializer_list<Input> few) : few_(few) {}
    Inputs(const std::vector<Variable>& many) : many_(many) {}
    size_t size() const { return few_.size() + many_.size(); }
    Input operator[](size_t i) const { return many_.empty() ? few_[i] : Input(many_[i]); }

  private:
    std::span<const Input> few_;
    std::span<const Variable> many_;
};

// Gradients of all outputs in order; undefined where an output got none.
using Backward = std::function<Tensors(std::span<const Tensor> grads, const Needs& needs)>;
using BackwardOfOne = std::function<Tensors(const Tensor& grad, const Needs& needs)>;

// Several outputs; the lambda sees an undefined gradient for an output that nothing used.
std::vector<Variable> record(std::string_view op, const Inputs& inputs, Tensors values, Backward backward);

Variable record(std::string_view op, const Inputs& inputs, Tensor value, BackwardOfOne backward);

// Whether an op on these inputs will be recorded: lets a wrapper skip work that only backward needs.
bool needs_grad(const Inputs& inputs);

// Tells recompute() that an op reads this tensor. record(), needs_grad() and Saved do so themselves; what is
// left are row numbers and the like of which an op keeps a copy.
void note_read(const Tensor& tensor);

// A saved tensor: reading it after its memory was written to throws, instead of giving a wrong gradient.
class Saved {
  public:
    Saved() = default;
    Saved(Tensor tensor) : tensor_(std::move(tensor)), version_(tensor_.version()) { note_read(tensor_); }
    Saved(const Variable& variable) : Saved(variable.value()) {}
    const Tensor& get() const;
    operator const Tensor&() const { return get(); }

  private:
    Tensor tensor_;
    uint64_t version_ = 0;
};

namespace detail {
Variable plain(std::string_view op, Tensor value);
Variable recorded(std::string_view op, const Inputs& inputs, Tensor value, Backward backward);
}  // namespace detail

template <class F>
requires std::is_invocable_r_v<Tensors, F&, const Tensor&, const Needs&>
    Variable record(std::string_view op, const Inputs& inputs, Tensor value, F backward) {
    if (!needs_grad(inputs)) return detail::plain(op, std::move(value));
    return detail::recorded(op, inputs, std::move(value),
                            [backward = std::move(backward)](std::span<const Tensor> grads,
                                                             const Needs& needs) mutable -> Tensors {
                                return backward(grads[0], needs);
                            });
}

}  // namespace demi
