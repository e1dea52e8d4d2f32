#include "autograd/variable.h"

#include <algorithm>

#include "autograd/node.h"

namespace demi {

uint64_t next_node_number() {
    static std::atomic<uint64_t> counter{1};
    return counter.fetch_add(1, std::memory_order_relaxed);
}

// What keeps older nodes alive moves out of a node that dies. The outermost destructor of the thread releases
// it piece by piece; the nodes that die meanwhile add theirs.
Node::~Node() {
    struct Remains {
        std::vector<Edge> inputs;
        Backward backward;
        std::vector<Hooked> hooks;
    };
    static thread_local std::vector<Remains>* waiting = nullptr;
    if (inputs.empty() && !backward && hooks.empty()) return;
    Remains mine{std::move(inputs), std::move(backward), std::move(hooks)};
    if (waiting) {
        waiting->push_back(std::move(mine));
        return;
    }
    std::vector<Remains> all;
    waiting = &all;
    all.push_back(std::move(mine));
    while (!all.empty()) {
        const Remains last = std::move(all.back());
        all.pop_back();
    }
    waiting = nullptr;
}

static std::shared_ptr<Node> make_leaf(const Tensor& value, bool requires_grad) {
    check(value.defined() && is_float(value.dtype()), "variable",
          "only a floating-point tensor can require a gradient: got ", describe(value));
    auto node = std::make_shared<Node>();
    node->op = "leaf";
    node->number = next_node_number();
    node->output = Node::Output(value);
    node->leaf = std::make_unique<Leaf>();
    node->leaf->requires_grad = requires_grad;
    return node;
}

Variable with_history(Tensor value, std::shared_ptr<Node> node, int output) {
    Variable v(std::move(value));
    v.node_ = std::move(node);
    v.output_ = output;
    return v;
}

Variable::Variable(Tensor value, bool requires_grad) : value_(std::move(value)) {
    // A frozen leaf has a node, too, which its copies share when it is thawed.
    if (requires_grad || (value_.defined() && is_float(value_.dtype())))
        node_ = make_leaf(value_, requires_grad);
}

bool Variable::requires_grad() const { return node_ && !node_->frozen(); }

bool Variable::is_leaf() const { return !node_ || node_->leaf; }

Variable& Variable::requires_grad_(bool on) {
    check(defined(), "requires_grad_", "needs a defined variable");
    check(is_leaf(), "requires_grad_", "needs a leaf: got the result of ", node_ ? node_->op : "an op",
          "; detach() it first");
    if (node_)
        node_->leaf->requires_grad = on;
    else if (on)
        node_ = make_leaf(value_, true);
    return *this;
}

Variable Variable::detach() const {
    check(defined(), "detach", "needs a defined variable");
    return Variable(value_);
}

Tensor Variable::grad() const {
    if (!node_ || !node_->leaf) return {};
    const std::lock_guard lock(node_->leaf->mutex);
    return node_->leaf->grad;
}

void Variable::set_grad(Tensor grad) {
    check(requires_grad() && is_leaf(), "set_grad", "needs a leaf that requires a gradient");
    check(!grad.defined() || node_->output.matches(grad), "set_grad", "gradient must match the value ",
          describe(value_), ": got ", describe(grad));
    if (grad.defined()) grad = owned(std::move(grad));  // later gradients are added in place
    const std::lock_guard lock(node_->leaf->mutex);
    node_->leaf->grad = std::move(grad);
    node_->leaf->grad_scale = 1;
}

void Variable::zero_grad() {
    check(defined(), "zero_grad", "needs a defined variable");
    if (!node_ || !node_->leaf) return;
    const std::lock_guard lock(node_->leaf->mutex);
    node_->leaf->grad = Tensor();
    node_->leaf->grad_scale = 1;
}

double Variable::grad_scale() const {
    if (!node_ || !node_->leaf) return 1;
    const std::lock_guard lock(node_->leaf->mutex);
    return node_->leaf->grad_scale;
}

void Variable::move_to(Device device) {
    check(defined() && is_leaf(), "move_to", "needs a leaf: got ", value_);
    value_.buffer()->move_to(device);
    if (!node_) return;
    node_->output.device = device;
    const std::lock_guard lock(node_->leaf->mutex);
    if (node_->leaf->grad.defined()) node_->leaf->grad = node_->leaf->grad.to(device);
}

RemovableHandle Variable::register_hook(Hook hook) {
    check(requires_grad(), "register_hook", "needs a variable that requires a gradient: got ",
          describe(value_));
    check(hook != nullptr, "register_hook", "the hook is empty");
    auto shared = std::make_shared<const Hook>(std::move(hook));
    node_->hooks.push_back({output_, shared});
    RemovableHandle handle;
    handle.node_ = node_;
    handle.hook_ = shared;
    return handle;
}

RemovableHandle Variable::register_observer(std::function<void(const Tensor& grad)> hook) {
    if (!hook) return register_hook(Hook());
    return register_hook(Hook([hook = std::move(hook)](const Tensor& grad) {
        hook(grad);
        return Tensor();
    }));
}

void RemovableHandle::remove() {
    const std::shared_ptr<Node> node = node_.lock();
    const std::shared_ptr<const void> hook = hook_.lock();  // outlives this call, in case it runs
    if (node && hook) std::erase_if(node->hooks, [&](const Node::Hooked& h) { return h.hook == hook; });
}

}  // namespace demi
