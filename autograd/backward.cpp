// The sweep. Of all nodes that wait with a gradient, take the newest: whatever uses its outputs is newer
// still and has been handled. No sorting, no recursion, and the same order of additions in every run.
#include <algorithm>

#include "autograd/grad_mode.h"
#include "autograd/sweep.h"
#include "runtime/copy.h"
#include "runtime/profile.h"

namespace demi {

bool alone(const Tensor& tensor) { return tensor.buffer().use_count() == 1 && tensor.is_contiguous(); }

bool Node::Output::matches(const Tensor& grad) const {
    return grad.defined() && grad.shape() == shape && grad.dtype() == dtype && grad.device() == device;
}

namespace {

// A hook may write into its argument, keep it, or return what it keeps elsewhere: it gets memory that nothing
// else reads, and what goes on is such memory again.
void run_hooks(const Node& node, Tensors& grads) {
    const auto hooks = node.hooks;  // a hook may remove itself or others
    const auto present = [&](const Node::Hooked& h) {
        return std::any_of(node.hooks.begin(), node.hooks.end(), [&](auto& x) { return x.hook == h.hook; });
    };
    for (const Node::Hooked& hooked : hooks) {
        Tensor& grad = grads[static_cast<size_t>(hooked.output)];
        if (!grad.defined() || !present(hooked)) continue;
        grad = owned(std::move(grad));
        Tensor replaced = (*hooked.hook)(grad);
        if (replaced.defined()) {
            const Node::Output& output = node.output_at(static_cast<size_t>(hooked.output));
            if (!output.matches(replaced)) [[unlikely]]
                fail(node.op, "a gradient hook must return ", output.dtype, ' ', output.shape, " on ",
                     output.device, ": got ", describe(replaced));
            grad = std::move(replaced);
        }
        grad = owned(std::move(grad));
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
    const Node::Output& expected = edge.node->output_at(static_cast<size_t>(edge.output));
    if (!expected.matches(grad)) [[unlikely]]
        fail(node.op, "backward: gradient of input ", input, " must be ", expected.dtype, ' ', expected.shape,
             " on ", expected.device, ": got ", describe(grad));
    if (anomaly_detection() && !all_finite(grad))
        fail(node.op, "backward made a NaN or infinity: gradient of input ", input, ", ", describe(grad));
}

void check_scale(const Leaf& leaf, double scale) {
    check(!leaf.grad.defined() || leaf.grad_scale == scale, "backward", "a gradient times ", scale,
          " cannot be added to one times ", leaf.grad_scale,
          ": zero_grad() between steps, and scale every backward() of a step alike");
}

void store(Leaf& leaf, Tensor grad, double scale) {
    const std::lock_guard lock(leaf.mutex);
    check_scale(leaf, scale);
    leaf.grad_scale = scale;
    if (leaf.grad.defined())
        accumulate(leaf.grad, grad);
    else
        leaf.grad = owned(std::move(grad));
}

}  // namespace

void Sweep::add(const Edge& to, Tensor grad) {
    const uint64_t number = to.node->number;
    auto at = queue_.lower_bound(number);
    if (at == queue_.end() || at->first != number) {
        if (spare_) {
            spare_.key() = number;
            at = queue_.insert(at, std::move(spare_));
        } else {
            at = queue_.try_emplace(at, number);
        }
        at->second.node = to.node;
        at->second.grads.resize(to.node->outputs());
    }
    // The first contribution is only referred to (it may be shared with another input); the second is added
    // to whichever of the two lies in memory of its own: a sum of two does not depend on their order.
    Tensor& sum = at->second.grads[static_cast<size_t>(to.output)];
    if (!sum.defined()) {
        sum = std::move(grad);
        return;
    }
    if (!alone(sum)) {
        if (alone(grad))
            std::swap(sum, grad);
        else
            sum = sum.clone();
    }
    accumulate(sum, grad);
}

void Sweep::step(Waiting& waiting) {
    Node& node = *waiting.node;
    if (!node.hooks.empty() && (!plan_ || plan_->inside(node))) run_hooks(node, waiting.grads);
    if (plan_) plan_->take(node, waiting.grads);
    if (node.leaf) {
        if (!plan_) leaves_.emplace_back(std::move(waiting.node), std::move(waiting.grads[0]));
        return;
    }
    if (plan_ && !plan_->enters(node)) return;
    check(!node.freed, node.op,
          "backward: this part of the graph was already freed; pass retain_graph to the first backward()");

    needs_.bits_.clear();
    for (const Edge& edge : node.inputs) needs_.bits_.push_back(wants(edge));
    if (needs_.any()) {
        Tensors results = call_backward(node, waiting.grads, needs_);
        check(results.size() == node.inputs.size(), node.op, "backward must return ", node.inputs.size(),
              " gradients: got ", results.size());
        waiting.grads.clear();
        for (size_t i = 0; i < results.size(); ++i) {
            if (!needs_[i] || !results[i].defined()) continue;
            check_gradient(node, i, results[i]);
            add(node.inputs[i], std::exchange(results[i], Tensor()));
        }
    }
    if (!options_.retain_graph) {
        node.backward = nullptr;
        node.inputs.clear();
        node.freed = true;
    }
}

void Sweep::run() {
    const NoGrad no_grad;
    while (!queue_.empty()) {
        Queue::node_type newest = queue_.extract(queue_.begin());
        step(newest.mapped());
        newest.mapped().node.reset();
        newest.mapped().grads.clear();
        spare_ = std::move(newest);
    }
    for (const auto& [node, grad] : leaves_) {
        const std::lock_guard lock(node->leaf->mutex);
        check_scale(*node->leaf, options_.grad_scale);
    }
    for (auto& [node, grad] : leaves_) store(*node->leaf, std::move(grad), options_.grad_scale);
}

Tensor seed_of(std::string_view op, const Variable& v, const Tensor& grad) {
    check(v.requires_grad(), op, "needs a variable that requires a gradient: got ", describe(v.value()));
    if (!grad.defined()) {
        check(v.numel() == 1, op, "without a gradient the value must hold one element: got ",
              describe(v.value()));
        return Tensor::full(v.shape(), 1, v.dtype(), v.device());
    }
    check(grad.shape() == v.shape() && grad.dtype() == v.dtype() && grad.device() == v.device(), op,
          "the gradient must match the value ", describe(v.value()), ": got ", describe(grad));
    return grad;
}

void Variable::backward(const Tensor& grad, BackwardOptions options) const {
    Sweep sweep(options);
    sweep.add({node_, output_}, seed_of("backward", *this, grad));
    sweep.run();
}

}  // namespace demi
