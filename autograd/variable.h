#pragma once
// Variable: a Tensor that remembers how it was made. Value, gradient, and the graph node behind it.
// Copies share all three. A Tensor converts to a Variable without history, so ops take either.
//
// Threads. Each may record and sweep graphs of its own at the same time, also where the graphs share leaves:
// a leaf adds the gradients of all sweeps, one after another as they arrive (with three and more, the order
// decides the rounding). Two sweeps through the same ops at a time need retain_graph in both. While another
// thread sweeps to a leaf, its grad() must not be read or changed, hooks must not be added or removed, and it
// must not be frozen. Hooks run on the thread of their sweep.
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "runtime/tensor.h"

namespace demi {

struct Node;
using Tensors = std::vector<Tensor>;

struct BackwardOptions {
    bool retain_graph = false;  // keep the graph for another backward()
    double grad_scale = 1;      // what `grad` was multiplied with: leaves remember it beside their gradient
};

// A registered hook. Copies stand for the same hook.
class RemovableHandle {
  public:
    RemovableHandle() = default;
    void remove();  // also from within a hook; no effect the second time, or after the graph is gone

  private:
    friend class Variable;
    std::weak_ptr<Node> node_;
    std::weak_ptr<const void> hook_;
};

class Variable {
  public:
    using Hook = std::function<Tensor(const Tensor& grad)>;

    Variable() = default;
    Variable(Tensor value) : value_(std::move(value)) {}  // a constant
    Variable(Tensor value, bool requires_grad);           // a leaf; only floats can require a gradient

    bool defined() const { return value_.defined(); }
    const Tensor& value() const { return value_; }
    bool requires_grad() const;
    bool is_leaf() const;

    // Freezes a leaf (false) or thaws it, for all copies: a frozen one is a constant to what is recorded from
    // then on, and to backward(), which gives it nothing even where it was recorded before; thawed, it gets
    // gradients from what is recorded from then on. grad() stays as it is. On a constant, true makes a new
    // leaf of this handle and of its later copies. The result of an op throws.
    Variable& requires_grad_(bool on = true);

    // The value seen without history: the same memory, no gradient.
    Variable detach() const;

    // Leaves that require a gradient collect it over backward() calls; undefined before the first.
    Tensor grad() const;
    void set_grad(Tensor grad);  // copied, unless this is the only handle of its memory
    void zero_grad();            // forgets the gradient
    // What the collected gradient is multiplied with: 1, or BackwardOptions::grad_scale. Gradients of
    // different scales are not added: backward() throws.
    double grad_scale() const;
    // Moves a leaf's memory, with its gradient, to a device. It stays the same leaf: every handle to it is
    // there afterwards, and every Tensor that views the memory; backward() through a graph that was recorded
    // before throws. On that device already: nothing happens.
    void move_to(Device device);

    // d(this)/d(leaf) into every leaf's grad(). Without `grad`, this must hold one element and 1 is used.
    // The graph is freed while the sweep runs; a second call throws unless retain_graph was asked for.
    // When a hook or an op's backward throws, every grad() stays as it was, and what was freed stays freed.
    void backward(const Tensor& grad = {}, BackwardOptions options = {}) const;

    // Called with the complete gradient of this value, once in each backward() or grad() that computes it, in
    // the order of registration. What it returns (in the gradient's shape, dtype and device, or else the
    // sweep throws) replaces the gradient; a hook that returns nothing, or an undefined Tensor, leaves it.
    // Its argument is memory that nothing else reads: a write changes this gradient and no other.
    RemovableHandle register_hook(Hook hook);
    template <class F>
    requires std::is_void_v<std::invoke_result_t<F&, const Tensor&>> RemovableHandle register_hook(F hook) {
        return register_observer(std::move(hook));
    }

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
    friend Variable with_history(Tensor value, std::shared_ptr<Node> node, int output);
    RemovableHandle register_observer(std::function<void(const Tensor& grad)> hook);

    Tensor value_;
    std::shared_ptr<Node> node_;  // null: a constant
    int output_ = 0;
};

struct GradOptions {
    bool retain_graph = false;
    // An undefined Tensor for inputs that the outputs do not depend on, else Error.
    bool allow_unused = false;
};

// d(outputs)/d(inputs), as torch.autograd.grad: one Tensor per input, a leaf or the result of an op; no
// grad() is touched. grad_outputs: empty, or one per output, undefined where the output holds one element and
// 1 is meant; several outputs are summed. Only the part of the graph between outputs and inputs is walked,
// and freed unless retain_graph is asked for. Hooks run on every value whose gradient is computed, inputs
// included: what comes back has passed the input's own hooks. Hooks of other leaves do not run.
Tensors grad(const std::vector<Variable>& outputs, const std::vector<Variable>& inputs,
             const Tensors& grad_outputs = {}, GradOptions options = {});

// tensor([1., 2.], f32 (2,) on cpu, requires_grad, made by add): the value as runtime/tensor.h prints it; in
// messages without the numbers.
std::ostream& operator<<(std::ostream& out, const Variable& variable);
namespace detail {
template <> void print_value<Variable>(std::ostream& out, const void* variable);
}  // namespace detail

}  // namespace demi
