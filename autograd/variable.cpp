#include "autograd/variable.h"

#include <atomic>

#include "autograd/node.h"

namespace demi {

uint64_t next_node_number() {
    static std::atomic<uint64_t> counter{1};
    return counter.fetch_add(1, std::memory_order_relaxed);
}

std::shared_ptr<Node> make_leaf(const Tensor& value) {
    auto node = std::make_shared<Node>();
    node->op = "leaf";
    node->number = next_node_number();
    node->leaf = true;
    node->outputs.push_back({value.shape(), value.dtype(), value.device(), {}});
    return node;
}

Node::~Node() {
    std::vector<std::shared_ptr<Node>> pending;
    const auto take = [&](std::vector<Edge>& edges) {
        for (Edge& edge : edges)
            if (edge.node) pending.push_back(std::move(edge.node));
        edges.clear();
    };
    take(inputs);
    while (!pending.empty()) {
        const std::shared_ptr<Node> node = std::move(pending.back());
        pending.pop_back();
        if (node.use_count() == 1) take(node->inputs);  // ours alone: it dies here, with no inputs left
    }
}

Variable::Variable(Tensor value, bool requires_grad) : value_(std::move(value)) {
    if (!requires_grad) return;
    check(value_.defined() && is_float(value_.dtype()), "variable",
          "only a floating-point tensor can require a gradient: got ", describe(value_));
    node_ = make_leaf(value_);
}

bool Variable::is_leaf() const { return node_ == nullptr || node_->leaf; }

Tensor Variable::grad() const { return node_ && node_->leaf ? node_->grad : Tensor(); }

void Variable::set_grad(Tensor grad) {
    check(node_ && node_->leaf, "set_grad", "needs a leaf that requires a gradient");
    check(!grad.defined() ||
              (grad.shape() == shape() && grad.dtype() == dtype() && grad.device() == device()),
          "set_grad", "gradient must match the value ", describe(value_), ": got ", describe(grad));
    node_->grad = grad.defined() ? grad.contiguous() : Tensor();  // later gradients are added in place
    node_->grad_scale = 1;
}

void Variable::zero_grad() {
    if (!node_) return;
    node_->grad = Tensor();
    node_->grad_scale = 1;
}

double Variable::grad_scale() const { return node_ ? node_->grad_scale : 1; }

void Variable::move_to(Device device) {
    check(defined() && is_leaf(), "move_to", "needs a leaf: got ", value_);
    value_.buffer()->move_to(device);
    if (!node_) return;
    node_->outputs[0].device = device;
    if (node_->grad.defined()) node_->grad = node_->grad.to(device);
}

void Variable::register_hook(Hook hook) {
    check(node_ != nullptr, "register_hook", "needs a variable that requires a gradient");
    node_->outputs[static_cast<size_t>(output_)].hooks.push_back(std::move(hook));
}

}  // namespace demi
