#include "autograd/record.h"

#include <algorithm>

#include "autograd/grad_mode.h"
#include "autograd/node.h"
#include "runtime/copy.h"

namespace demi {

bool Needs::any() const { return std::find(bits_.begin(), bits_.end(), true) != bits_.end(); }

bool needs_grad(const std::vector<Variable>& inputs) {
    return grad_enabled() &&
           std::any_of(inputs.begin(), inputs.end(), [](const Variable& v) { return v.requires_grad(); });
}

bool needs_grad(std::initializer_list<const Variable*> inputs) {
    return grad_enabled() &&
           std::any_of(inputs.begin(), inputs.end(), [](const Variable* v) { return v->requires_grad(); });
}

const Tensor& Saved::get() const {
    if (tensor_.version() != version_) [[unlikely]]
        fail("saved", "a tensor saved for backward was modified in place: ", describe(tensor_),
             " is at version ", tensor_.version(), ", saved at version ", version_);
    return tensor_;
}

std::vector<Variable> make_outputs(std::shared_ptr<Node> node, std::vector<Tensor> values) {
    std::vector<Variable> outputs;
    outputs.reserve(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
        Variable v(std::move(values[i]));
        if (node && is_float(v.dtype())) {
            v.node_ = node;
            v.output_ = static_cast<int>(i);
        }
        outputs.push_back(std::move(v));
    }
    return outputs;
}

std::vector<Variable> record(std::string_view op, const std::vector<Variable>& inputs, Tensors values,
                             Backward backward) {
    if (anomaly_detection()) {
        for (const Tensor& value : values)
            check(all_finite(value), op, "forward made a NaN or infinity: output ", describe(value));
    }
    if (!needs_grad(inputs)) return make_outputs(nullptr, std::move(values));
    check(backward != nullptr, op, "has no backward, but an input requires a gradient");
    auto node = std::make_shared<Node>();
    node->op = op;
    node->number = next_node_number();
    node->backward = std::move(backward);
    node->inputs.reserve(inputs.size());
    for (const Variable& input : inputs) node->inputs.push_back({input.node(), input.output()});
    for (const Tensor& value : values)
        node->outputs.push_back({value.shape(), value.dtype(), value.device(), {}});
    return make_outputs(std::move(node), std::move(values));
}

Variable record(std::string_view op, const std::vector<Variable>& inputs, Tensor value,
                std::function<Tensors(const Tensor& grad, const Needs& needs)> backward) {
    Backward wrapped;
    if (backward)
        wrapped = [backward = std::move(backward)](std::span<const Tensor> grads, const Needs& needs) {
            return backward(grads[0], needs);
        };
    return record(op, inputs, Tensors{std::move(value)}, std::move(wrapped))[0];
}

}  // namespace demi
