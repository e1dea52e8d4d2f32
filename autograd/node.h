#pragma once
// Internal: a step of the graph. Its number is larger than those of its inputs, which is all the sweep needs.
#include <memory>
#include <vector>

#include "autograd/record.h"

namespace demi {

struct Edge {
    std::shared_ptr<Node> node;  // null: this input needs no gradient
    int output = 0;
};

struct Node {
    std::string op;
    uint64_t number = 0;
    std::vector<Edge> inputs;
    Backward backward;  // empty for leaves and for nodes that the sweep has freed
    struct Output {
        Shape shape;
        DType dtype;
        Device device;
        std::vector<Variable::Hook> hooks;
    };
    std::vector<Output> outputs;
    bool leaf = false;
    bool freed = false;
    Tensor grad;  // leaves only
    double grad_scale = 1;

    Node() = default;
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
    ~Node();  // without recursion: a chain of a million nodes must not exhaust the stack
};

std::shared_ptr<Node> make_leaf(const Tensor& value);
uint64_t next_node_number();

}  // namespace demi
