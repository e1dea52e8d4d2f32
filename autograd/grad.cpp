// grad(): a sweep that goes where it is asked, and the plan that it follows.
#include <algorithm>

#include "autograd/sweep.h"

namespace demi {

static Edge edge_of(const Variable& v) { return {v.node(), v.output()}; }

Tensors grad(const std::vector<Variable>& outputs, const std::vector<Variable>& inputs,
             const Tensors& grad_outputs, GradOptions options) {
    check(grad_outputs.empty() || grad_outputs.size() == outputs.size(), "grad",
          "needs no gradients of outputs or one for each of the ", outputs.size(), ": got ",
          grad_outputs.size());
    std::vector<Edge> roots;
    Tensors seeds;
    for (size_t i = 0; i < outputs.size(); ++i) {
        seeds.push_back(seed_of("grad", outputs[i], grad_outputs.empty() ? Tensor() : grad_outputs[i]));
        roots.push_back(edge_of(outputs[i]));
    }
    std::vector<Slot> wanted;
    for (size_t i = 0; i < inputs.size(); ++i) {
        check(inputs[i].requires_grad(), "grad", "input ", i, " must require a gradient: got ",
              describe(inputs[i].value()));
        wanted.emplace_back(inputs[i].node().get(), inputs[i].output());
    }
    const auto check_used = [&](size_t i, bool used) {
        check(used || options.allow_unused, "grad", "input ", i, ", ", describe(inputs[i].value()),
              ", is not used by the outputs; allow_unused gives an undefined tensor for it");
    };
    Plan plan(std::move(wanted));
    plan.explore(roots);
    for (size_t i = 0; i < inputs.size(); ++i) check_used(i, plan.reached(i));
    Sweep sweep({.retain_graph = options.retain_graph}, &plan);
    for (size_t i = 0; i < roots.size(); ++i)
        if (plan.wants(roots[i])) sweep.add(roots[i], std::move(seeds[i]));
    seeds.clear();
    sweep.run();
    Tensors grads = plan.results();
    for (size_t i = 0; i < grads.size(); ++i) {
        check_used(i, grads[i].defined());
        if (grads[i].defined()) grads[i] = owned(std::move(grads[i]));
    }
    return grads;
}

Plan::Plan(std::vector<Slot> wanted, uint64_t first)
    : wanted_(std::move(wanted)), first_(first), oldest_(UINT64_MAX) {
    for (const Slot& slot : wanted_) {
        found_.emplace(slot, Found());
        oldest_ = std::min(oldest_, slot.first->number);
    }
}

bool Plan::wants(const Edge& edge) const {
    return enters(*edge.node) || found_.contains({edge.node.get(), edge.output});
}

void Plan::explore(const std::vector<Edge>& roots) {
    std::vector<const Node*> between;
    std::unordered_set<const Node*> seen;
    const auto look = [&](const Edge& edge) {
        if (!edge.node) return;
        const auto wanted = found_.find({edge.node.get(), edge.output});
        if (wanted != found_.end()) wanted->second.reached = true;
        // older nodes than all wanted ones lead to none
        if (edge.node->number <= oldest_ || edge.node->leaf || !inside(*edge.node)) return;
        if (seen.insert(edge.node.get()).second) between.push_back(edge.node.get());
    };
    for (const Edge& root : roots) look(root);
    for (size_t i = 0; i < between.size(); ++i) {
        check(!between[i]->freed, between[i]->op,
              "grad: this part of the graph was already freed; pass retain_graph to the first backward()");
        for (const Edge& edge : between[i]->inputs) look(edge);
    }
    std::sort(between.begin(), between.end(),
              [](const Node* a, const Node* b) { return a->number < b->number; });
    for (const Node* node : between)
        if (std::any_of(node->inputs.begin(), node->inputs.end(),
                        [&](const Edge& edge) { return edge.node && wants(edge); }))
            entered_.insert(node);
}

void Plan::take(const Node& node, const Tensors& grads) {
    for (size_t i = 0; i < grads.size(); ++i) {
        const auto found = found_.find({&node, static_cast<int>(i)});
        if (found != found_.end()) found->second.grad = grads[i];
    }
}

Tensors Plan::results() {
    Tensors grads;
    for (const Slot& slot : wanted_) grads.push_back(found_.at(slot).grad);
    found_.clear();
    return grads;
}

}  // namespace demi
