// The sweep. Of all nodes that wait with a gradient, take the newest: whatever uses its outputs is newer
// still and has been handled. No sorting, no recursion, and the same order of additions in every run.
#include <functional>
#include <map>
#include <utility>

#include "autograd/grad_mode.h"
#include "autograd/node.h"
#include "runtime/copy.h"
#include "runtime/profile.h"

namespace demi {
namespace {

// A gradient under construction. The first contribution is only referred to (it may be shared with another
// input); the second makes a sum of our own, in its own memory where nobody else holds that, and later ones
// are added to it in place.
struct Pending {
    Tensor grad;
    bool own = false;

    void add(Tensor more) {
        if (!grad.defined()) {
            grad = std::move(more);
            return;
        }
        if (!own) {
            own = true;
            if (more.buffer().use_count() == 1 && more.is_contiguous()) {
                std::swap(grad, more);  // the same bits: a sum of two does not depend on their order
            } else {
                grad = grad.clone();
            }
        }
        accumulate(grad, more);
    }
};

struct Waiting {
    std::shared_ptr<Node> node;
    std::vector<Pending> grads;
};

using Queue = std::map<uint64_t, Waiting, std::greater<>>;

Pending& slot(Queue& queue, const std::shared_ptr<Node>& node, int output) {
    Waiting& waiting = queue[node->number];
    if (!waiting.node) {
        waiting.node = node;
        waiting.grads.resize(node->outputs.size());
    }
    return waiting.grads[static_cast<size_t>(output)];
}

bool matches(const Tensor& grad, const Node::Output& output) {
    return grad.shape() == output.shape && grad.dtype() == output.dtype && grad.device() == output.device;
}

void run_hooks(const Node& node, std::vector<Pending>& grads) {
    for (size_t i = 0; i < grads.size(); ++i) {
        if (!grads[i].grad.defined()) continue;
        const Node::Output& output = node.outputs[i];
        for (const Variable::Hook& hook : output.hooks) {
            Tensor replaced = hook(grads[i].grad);
            if (!replaced.defined()) continue;
            if (!matches(replaced, output)) [[unlikely]]
                fail(node.op, "a gradient hook must return ", output.dtype, ' ', output.shape, " on ",
                     output.device, ": got ", describe(replaced));
            grads[i] = {std::move(replaced), false};
        }
    }
}

// What the gradients of this thread's sweep are multiplied with; a sweep inside a sweep (recompute) inherits it.
thread_local double sweep_scale = 1;

struct SweepScale {
    explicit SweepScale(double scale) : before(std::exchange(sweep_scale, sweep_scale * scale)) {}
    ~SweepScale() { sweep_scale = before; }
    SweepScale(const SweepScale&) = delete;
    SweepScale& operator=(const SweepScale&) = delete;
    double before;
};

void store_leaf(Node& leaf, Pending& pending) {
    check(!leaf.grad.defined() || leaf.grad_scale == sweep_scale, "backward", "a gradient times ",
          sweep_scale, " cannot be added to one times ", leaf.grad_scale,
          ": zero_grad() between steps, and scale every backward() of a step alike");
    leaf.grad_scale = sweep_scale;
    if (leaf.grad.defined()) {
        accumulate(leaf.grad, pending.grad);
    } else {
        const bool alone = pending.grad.buffer().use_count() == 1 && pending.grad.is_contiguous();
        leaf.grad = alone ? std::move(pending.grad) : pending.grad.clone();
    }
}

Tensors call_backward(Node& node, std::span<const Tensor> grads, const Needs& needs) {
    const ProfileScope scope(node.op, " backward");
    try {
        return node.backward(grads, needs);
    } catch (const Error& error) {
        if (error.op() == "saved") fail(node.op, "backward: ", error.what());
        throw;
    }
}

void check_gradient(const Node& node, size_t input, const Tensor& grad) {
    const Edge& edge = node.inputs[input];
    const Node::Output& expected = edge.node->outputs[static_cast<size_t>(edge.output)];
    if (!matches(grad, expected)) [[unlikely]]
        fail(node.op, "backward: gradient of input ", input, " must be ", expected.dtype, ' ', expected.shape,
             " on ", expected.device, ": got ", describe(grad));
    if (anomaly_detection() && !all_finite(grad))
        fail(node.op, "backward made a NaN or infinity: gradient of input ", input, ", ", describe(grad));
}

void step(Queue& queue, Waiting waiting, bool retain) {
    Node& node = *waiting.node;
    run_hooks(node, waiting.grads);
    if (node.leaf) return store_leaf(node, waiting.grads[0]);
    check(!node.freed, node.op,
          "backward: this part of the graph was already freed; pass retain_graph to the first backward()");

    std::vector<bool> bits;
    for (const Edge& edge : node.inputs) bits.push_back(edge.node != nullptr);
    const Needs needs(std::move(bits));
    Tensors grads;
    for (Pending& pending : waiting.grads) grads.push_back(std::move(pending.grad));
    waiting.grads.clear();

    Tensors results = call_backward(node, grads, needs);
    check(results.size() == node.inputs.size(), node.op, "backward must return ", node.inputs.size(),
          " gradients: got ", results.size());
    grads.clear();
    for (size_t i = 0; i < results.size(); ++i) {
        const Edge& edge = node.inputs[i];
        if (!edge.node || !results[i].defined()) continue;
        check_gradient(node, i, results[i]);
        slot(queue, edge.node, edge.output).add(std::exchange(results[i], Tensor()));
    }
    if (!retain) {
        node.backward = nullptr;
        node.inputs.clear();
        node.freed = true;
    }
}

}  // namespace

void Variable::backward(const Tensor& grad, BackwardOptions options) const {
    check(node_ != nullptr, "backward", "needs a variable that requires a gradient: got ", describe(value_));
    Tensor seed = grad;
    if (!seed.defined()) {
        check(numel() == 1, "backward", "without a gradient the value must hold one element: got ",
              describe(value_));
        seed = Tensor::full(shape(), 1, dtype(), device());
    }
    check(seed.shape() == shape() && seed.dtype() == dtype() && seed.device() == device(), "backward",
          "the gradient must match the value ", describe(value_), ": got ", describe(seed));
    const NoGrad no_grad;
    const SweepScale scale(options.grad_scale);
    Queue queue;
    slot(queue, node_, output_).add(seed);
    while (!queue.empty()) {
        Waiting newest = std::move(queue.begin()->second);
        queue.erase(queue.begin());
        step(queue, std::move(newest), options.retain_graph);
    }
}

}  // namespace demi
