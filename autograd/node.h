#pragma once
// Internal: a step of the graph. Its number is larger than those of its inputs, which is all the sweep needs.
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "autograd/record.h"
#include "runtime/non_copyable.h"

namespace demi {

struct Edge {
    std::shared_ptr<Node> node;  // null: this input needs no gradient
    int output = 0;
};

struct Leaf {
    std::atomic<bool> requires_grad{true};
    std::mutex mutex;  // of what follows: the sweeps of several threads may end here
    Tensor grad;
    double grad_scale = 1;
};

struct Node : NonCopyable {
    std::string op;
    uint64_t number = 0;
    std::vector<Edge> inputs;
    Backward backward;  // empty for leaves and for nodes that the sweep has freed
    struct Output {
        Shape shape;
        DType dtype = DType::f32;
        Device device;
        Output() = default;
        explicit Output(const Tensor& t) : shape(t.shape()), dtype(t.dtype()), device(t.device()) {}
        bool matches(const Tensor& grad) const;
    };
    Output output;             // the first
    std::vector<Output> more;  // the others
    struct Hooked {
        int output;
        std::shared_ptr<const Variable::Hook> hook;
    };
    std::vector<Hooked> hooks;
    std::unique_ptr<Leaf> leaf;  // null: the result of an op
    bool freed = false;

    const Output& output_at(size_t i) const { return i == 0 ? output : more[i - 1]; }
    size_t outputs() const { return 1 + more.size(); }
    bool frozen() const { return leaf && !leaf->requires_grad.load(std::memory_order_relaxed); }

    Node() = default;
    ~Node();  // without recursion: a chain of a million nodes must not exhaust the stack
};

uint64_t next_node_number();
std::shared_ptr<Node> make_node(std::string_view op, std::vector<Edge> inputs, Backward backward);
Variable with_history(Tensor value, std::shared_ptr<Node> node, int output);

// Memory that nothing else refers to, laid out so that sums can be added into it.
bool alone(const Tensor& tensor);
inline Tensor owned(Tensor tensor) { return alone(tensor) ? std::move(tensor) : tensor.clone(); }

}  // namespace demi
