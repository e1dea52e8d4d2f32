#pragma once
// Variable: a Tensor that remembers how it was made. Value, gradient, and the graph node behind it.
// Copies share all three. A Tensor converts to a Variable without history, so ops take either.
#include <functional>
#include <memory>
#include <string>

#include "runtime/tensor.h"

namespace demi {

struct Node;

struct BackwardOptions {
    bool retain_graph = false;  // keep the graph for another backward()
    double grad_scale = 1;      // what `grad` was multiplied with: leaves remember it beside their gradient
};

class Variable {
  public:
    using Hook = std::function<Tensor(const Tensor& grad)>;

    Variable() = default;
    Variable(Tensor value, bool requires_grad = false);  // a leaf; only floats can require a gradient

    bool defined() const { return value_.defined(); }
    const Tensor& value() const { return value_; }
    bool requires_grad() const { return node_ != nullptr; }
    bool is_leaf() const;

    // The value seen without history: the same memory, no gradient.
    Variable detach() const { return Variable(value_); }

    // Leaves that require a gradient collect it over backward() calls; undefined before the first.
    Tensor grad() const;
    void set_grad(Tensor grad);
    void zero_grad();  // forgets the gradient
    // What the collected gradient is multiplied with: 1, or BackwardOptions::grad_scale. Gradients of
    // different scales are not added: backward() throws.
    double grad_scale() const;
    // Moves a leaf's memory, with its gradient, to a device. It stays the same leaf: every handle to it is
    // there afterwards, and every Tensor that views the memory; backward() through a graph that was recorded
    // before throws. On that device already: nothing happens.
    void move_to(Device device);

    // d(this)/d(leaf) into every leaf's grad(). Without `grad`, this must hold one element and 1 is used.
    // The graph is freed while the sweep runs; a second call throws unless retain_graph was asked for.
    void backward(const Tensor& grad = {}, BackwardOptions options = {}) const;

    // Called with the complete gradient of this value during backward(); what it returns (if defined)
    // replaces it.
    void register_hook(Hook hook);

    const Shape& shape() const { return value_.shape(); }
    DType dtype() const { return value_.dtype(); }
    Device device() const { return value_.device(); }
    int rank() const { return value_.rank(); }
    int64_t size(int dim) const { return value_.size(dim); }
    int64_t numel() const { return value_.numel(); }
    double item() const { return value_.item(); }

    const std::shared_ptr<Node>& node() const { return node_; }  // for record() and the sweep
    int output() const { return output_; }

  private:
    friend std::vector<Variable> make_outputs(std::shared_ptr<Node> node, std::vector<Tensor> values);

    Tensor value_;
    std::shared_ptr<Node> node_;
    int output_ = 0;
};

// tensor([1., 2.], f32 (2,) on cpu, requires_grad): the value as runtime/tensor.h prints it; in messages
// without the numbers.
std::ostream& operator<<(std::ostream& out, const Variable& variable);
namespace detail {
template <> void print_value<Variable>(std::ostream& out, const void* variable);
}  // namespace detail

}  // namespace demi
