#pragma once
// Internal: the sweep (backward.cpp) and the plan of one that does not go to every leaf (grad.cpp).
#include <functional>
#include <map>
#include <unordered_set>
#include <utility>

#include "autograd/node.h"

namespace demi {

using Slot = std::pair<const Node*, int>;  // an output of a node

// The gradients that a sweep is made for, where it does not go to every leaf, and the nodes that lead there.
class Plan {
  public:
    // Of nodes with smaller numbers than `first` no hook is called and no backward.
    explicit Plan(std::vector<Slot> wanted, uint64_t first = 0);
    void explore(const std::vector<Edge>& roots);  // finds what leads from them to the wanted ones

    bool wants(const Edge& edge) const;
    bool enters(const Node& node) const { return entered_.contains(&node); }
    bool inside(const Node& node) const { return node.number >= first_; }
    bool reached(size_t i) const { return found_.at(wanted_[i]).reached; }
    void take(const Node& node, const Tensors& grads);
    Tensors results();  // undefined: no gradient came

  private:
    struct Found {
        bool reached = false;
        Tensor grad;
    };
    std::vector<Slot> wanted_;
    std::map<Slot, Found> found_;
    uint64_t first_, oldest_;  // wanted
    std::unordered_set<const Node*> entered_;
};

// What a sweep starts with at v: `grad`, checked, or 1.
Tensor seed_of(std::string_view op, const Variable& v, const Tensor& grad);

class Sweep {
  public:
    // Without a plan every leaf collects its gradient, all at the end: a sweep that throws
    // leaves them as they were.
    explicit Sweep(BackwardOptions options, Plan* plan = nullptr) : options_(options), plan_(plan) {}
    void add(const Edge& to, Tensor grad);
    void run();

  private:
    struct Waiting {
        std::shared_ptr<Node> node;
        Tensors grads;  // one per output, under construction
    };
    using Queue = std::map<uint64_t, Waiting, std::greater<>>;

    void step(Waiting& waiting);
    bool wants(const Edge& edge) const {
        return edge.node && (plan_ ? plan_->wants(edge) : !edge.node->frozen());
    }

    BackwardOptions options_;
    Plan* plan_;
    Queue queue_;
    Queue::node_type spare_;  // of the node before: a chain asks for no memory here
    Needs needs_{{}};
    std::vector<std::pair<std::shared_ptr<Node>, Tensor>> leaves_;
};

}  // namespace demi
