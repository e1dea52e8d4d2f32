#include "autograd/recompute.h"

#include <set>
#include <unordered_map>
#include <utility>

#include "autograd/grad_mode.h"
#include "autograd/sweep.h"
#include "runtime/capture.h"
#include "runtime/non_copyable.h"

namespace demi {

namespace {

// While one lives, what ops on this thread read is written down; or, the second time, compared.
class ReadLog : NonCopyable {
  public:
    using Versions = std::unordered_map<uint64_t, uint64_t>;  // when first read, by the buffer's id

    ReadLog(Versions& versions, bool compare)
        : versions_(versions), begin_(compare ? Tensor::empty({0}).buffer()->id() : 0), outer_(innermost) {
        innermost = this;
    }
    ~ReadLog() { innermost = outer_; }

    static void note(const Tensor& tensor) {
        for (const ReadLog* log = innermost; log && tensor.defined(); log = log->outer_) log->add(tensor);
    }

  private:
    void add(const Tensor& tensor) const {
        const uint64_t id = tensor.buffer()->id();
        if (begin_ == 0) {
            versions_.try_emplace(id, tensor.version());
        } else if (id < begin_) {  // newer ones are fn's own
            const auto before = versions_.find(id);
            if (before == versions_.end() || before->second != tensor.version())
                fail("saved",
                     "a tensor that the recomputed function reads was modified in place or replaced: ",
                     describe(tensor));
        }
    }

    static thread_local ReadLog* innermost;
    Versions& versions_;
    uint64_t begin_;  // id of a buffer that is older than all that fn makes; 0: write down
    ReadLog* outer_;
};
thread_local ReadLog* ReadLog::innermost = nullptr;

// fn now, and before each replay of a captured step.
void each_time(const std::function<void()>& fn) {
    if (capturing()) before_replay(fn);
    fn();
}

struct Draws {
    Generator* generator = nullptr;
    Generator before{}, now{};
};

// The generator as it was `before` while this lives, then back where it was.
class Rewind : NonCopyable {
  public:
    explicit Rewind(std::shared_ptr<Draws> draws) : draws_(std::move(draws)) {
        if (draws_) each_time([d = draws_] { d->now = std::exchange(*d->generator, d->before); });
    }
    ~Rewind() {
        if (draws_) each_time([d = draws_] { *d->generator = d->now; });
    }

  private:
    std::shared_ptr<Draws> draws_;
};

// What the graph of y, down to node number `first`, hangs on beside the leaves that stand for the inputs.
std::vector<Edge> captured_by(const Variable& y, uint64_t first, const std::set<const Node*>& own) {
    std::vector<Edge> captured;
    std::set<Slot> seen;
    std::vector<Edge> open{{y.node(), y.output()}};
    while (!open.empty()) {
        const Edge edge = std::move(open.back());
        open.pop_back();
        if (!edge.node) continue;
        const bool older = edge.node->number < first;
        if (!seen.emplace(edge.node.get(), older ? edge.output : 0).second) continue;
        check(older || !edge.node->leaf || own.count(edge.node.get()) != 0, "recompute",
              "the function makes a leaf that requires a gradient, which would be lost with the first "
              "result: make "
              "it outside: got ",
              edge.node->output.dtype, " ", edge.node->output.shape);
        if (older)
            captured.push_back(edge);
        else
            open.insert(open.end(), edge.node->inputs.begin(), edge.node->inputs.end());
    }
    return captured;
}

// The backward: one gradient per input of fn, then one per output of a node that it captures.
struct Again {
    std::function<Variable(const std::vector<Variable>&)> fn;
    std::vector<Saved> saved;
    std::vector<bool>
        needed;  // whether the input required a gradient: the second pass records as the first did
    std::vector<Slot> captured;  // alive as long as the edges to them
    ReadLog::Versions versions;
    std::shared_ptr<Draws> draws;

    Tensors operator()(std::span<const Tensor> grads, const Needs& needs) {
        const uint64_t first = next_node_number();
        std::vector<Variable> own;
        std::vector<Slot> wanted;
        for (size_t i = 0; i < saved.size(); ++i) {
            own.push_back(needed[i] ? Variable(saved[i].get(), true) : Variable(saved[i].get()));
            if (needs[i]) wanted.emplace_back(own[i].node().get(), 0);
        }
        Variable y;
        {
            const EnableGrad enable_grad;
            const Rewind rewind(draws);
            const ReadLog log(versions, true);
            y = fn(own);
        }
        const Edge root{y.node(), y.output()};
        for (size_t i = 0; i < captured.size(); ++i)
            if (needs[saved.size() + i]) wanted.push_back(captured[i]);
        Plan plan(wanted, first);
        plan.explore({root});
        for (size_t i = 0; i < wanted.size(); ++i)
            check(plan.reached(i) || wanted[i].first->number > first, "recompute",
                  "the function must do the same twice: a variable that it used has no part in its second "
                  "result");
        Sweep sweep({}, &plan);
        if (root.node && plan.wants(root)) {
            check(root.node->output_at(static_cast<size_t>(root.output)).matches(grads[0]), "recompute",
                  "the function must do the same twice: its gradient is ", describe(grads[0]),
                  ", its second result ", describe(y.value()));
            sweep.add(root, grads[0]);
        }
        y = Variable();
        sweep.run();
        Tensors found = plan.results(), results(needs.size());
        for (size_t i = 0, k = 0; i < results.size(); ++i)
            if (needs[i]) results[i] = std::move(found[k++]);
        return results;
    }
};

}  // namespace

void note_read(const Tensor& tensor) { ReadLog::note(tensor); }

Variable recompute(std::function<Variable(const std::vector<Variable>&)> fn,
                   const std::vector<Variable>& inputs, Generator* generator) {
    check(fn != nullptr, "recompute", "the function is empty");
    if (!grad_enabled()) return fn(inputs);
    std::shared_ptr<Draws> draws;
    if (generator) {
        draws = std::make_shared<Draws>();
        draws->generator = generator;
        each_time([draws] { draws->before = *draws->generator; });
    }
    // Recorded the first time as well, to see what the result depends on; the record goes at the end of this
    // function. fn gets leaves of its own, so that hooks which it registers on its arguments go, too.
    const uint64_t first = next_node_number();
    ReadLog::Versions versions;
    std::vector<Edge> edges;
    std::vector<Saved> saved;
    std::vector<bool> needed;
    std::set<const Node*> inner;
    Variable y;
    {
        const ReadLog log(versions, false);
        std::vector<Variable> own;
        for (const Variable& input : inputs) {
            needed.push_back(input.requires_grad());
            edges.push_back(needed.back() ? Edge{input.node(), input.output()} : Edge{});
            saved.emplace_back(input);
            own.push_back(needed.back() ? Variable(input.value(), true) : Variable(input.value()));
            inner.insert(own.back().node().get());
        }
        y = fn(own);
    }
    if (!y.requires_grad()) return y.value();
    std::vector<Slot> captured;  // the node's edges keep them alive
    for (Edge& edge : captured_by(y, first, inner)) {
        captured.emplace_back(edge.node.get(), edge.output);
        edges.push_back(std::move(edge));
    }
    auto node = make_node("recompute", std::move(edges),
                          Again{std::move(fn), std::move(saved), std::move(needed), std::move(captured),
                                std::move(versions), draws});
    node->output = Node::Output(y.value());
    return with_history(y.value(), std::move(node), 0);
}

}  // namespace demi
