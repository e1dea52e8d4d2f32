#include "autograd/record.h"

#include <algorithm>

#include "autograd/grad_mode.h"
#include "autograd/node.h"
#include "runtime/copy.h"

namespace demi {

bool Needs::any() const { return std::find(bits_.begin(), bits_.end(), true) != bits_.end(); }

bool needs_grad(const Inputs& inputs) {
    bool needed = false;
    for (size_t i = 0; i < inputs.size(); ++i) {
        const Inputs::Input input = inputs[i];
        note_read(*input.value);
        needed = needed || (input.variable && input.variable->requires_grad());
    }
    return needed && grad_enabled();
}

const Tensor& Saved::get() const {
    if (tensor_.version() != version_) [[unlikely]]
        fail("saved", "a tensor saved for backward was modified in place: ", describe(tensor_),
             " is at version ", tensor_.version(), ", saved at version ", version_);
    return tensor_;
}

static void check_value(std::string_view op, const Tensor& value) {
    check(value.defined(), op, "the value to record is undefined");
    if (anomaly_detection())
        check(all_finite(value), op, "forward made a NaN or infinity: output ", describe(value));
}

static std::vector<Edge> edges_to(const Inputs& inputs) {
    std::vector<Edge> edges(inputs.size());
    for (size_t i = 0; i < edges.size(); ++i)
        if (const Variable* v = inputs[i].variable; v && v->requires_grad())
            edges[i] = {v->node(), v->output()};
    return edges;
}

std::shared_ptr<Node> make_node(std::string_view op, std::vector<Edge> inputs, Backward backward) {
    check(backward != nullptr, op, "has no backward, but an input requires a gradient");
    auto node = std::make_shared<Node>();
    node->op = op;
    node->number = next_node_number();
    node->inputs = std::move(inputs);
    node->backward = std::move(backward);
    return node;
}

Variable detail::plain(std::string_view op, Tensor value) {
    check_value(op, value);
    return Variable(std::move(value));
}

Variable detail::recorded(std::string_view op, const Inputs& inputs, Tensor value, Backward backward) {
    check_value(op, value);
    if (!is_float(value.dtype())) return Variable(std::move(value));
    auto node = make_node(op, edges_to(inputs), std::move(backward));
    node->output = Node::Output(value);
    return with_history(std::move(value), std::move(node), 0);
}

Variable record(std::string_view op, const Inputs& inputs, Tensor value, BackwardOfOne backward) {
    if (!needs_grad(inputs)) return detail::plain(op, std::move(value));
    check(backward != nullptr, op, "has no backward, but an input requires a gradient");
    return detail::recorded(
        op, inputs, std::move(value),
        [backward = std::move(backward)](std::span<const Tensor> grads, const Needs& needs) {
            return backward(grads[0], needs);
        });
}

std::vector<Variable> record(std::string_view op, const Inputs& inputs, Tensors values, Backward backward) {
    for (const Tensor& value : values) check_value(op, value);
    std::shared_ptr<Node> node;
    if (needs_grad(inputs) && !values.empty()) {
        node = make_node(op, edges_to(inputs), std::move(backward));
        node->output = Node::Output(values[0]);
        for (size_t i = 1; i < values.size(); ++i) node->more.emplace_back(values[i]);
    }
    std::vector<Variable> outputs;
    outputs.reserve(values.size());
    for (Tensor& value : values) {
        const bool history = node && is_float(value.dtype());
        const int output = static_cast<int>(outputs.size());
        outputs.push_back(history ? with_history(std::move(value), node, output)
                                  : Variable(std::move(value)));
    }
    return outputs;
}

}  // namespace demi
