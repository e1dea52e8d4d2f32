// Running a graph: its steps at random, parts of it inside recompute(), and the sweeps backward.
#include <algorithm>
#include <memory>

#include "autograd/recompute.h"
#include "runtime/parallel.h"
#include "tests/fuzz/graph.h"

namespace demi::fuzz {

void Graph::add_segment() {
    const std::vector<Maker>& all = makers();
    std::vector<int> inputs;
    for (int64_t n = dice.below(3); n >= 0; --n) {
        const int id = find([](const Value& v) { return usable(v, 30); });
        if (id >= 0 && std::find(inputs.begin(), inputs.end(), id) == inputs.end()) inputs.push_back(id);
    }
    Variables outer;
    for (int id : inputs) outer.push_back(live_[static_cast<size_t>(id)]);
    const int number = static_cast<int>(steps_.size());
    // What the first run made, for the second one, which comes during backward.
    struct Made {
        std::vector<int> inputs;
        size_t first = 0, last = 0;
        int result = -1;
    };
    const auto made = std::make_shared<Made>();
    made->inputs = inputs;
    const Variable out = recompute(
        [this, made, number, &all](const Variables& x) {
            if (made->result < 0) {  // the first run
                for (size_t i = 0; i < x.size(); ++i) live_[static_cast<size_t>(made->inputs[i])] = x[i];
                segment_ = number;
                segment_inputs_ = made->inputs;
                made->first = steps_.size();
                for (int64_t n = 1 + dice.below(4); n > 0 && wrong_.empty(); --n)
                    all[static_cast<size_t>(dice.below(int64_t(all.size())))].make(*this);
                made->last = steps_.size();
                made->result = find([](const Value& v) { return floating(v.dtype); });
                if (made->result < 0) made->result = fresh({2}, dtype());
                segment_ = -1;
                segment_inputs_.clear();
                return live_[static_cast<size_t>(made->result)];
            }
            const std::vector<Variable> before = live_;
            for (size_t i = 0; i < x.size(); ++i) live_[static_cast<size_t>(made->inputs[i])] = x[i];
            for (size_t s = made->first; s < made->last; ++s) {
                Step& step = steps_[s];
                const Variables results = call(step);
                for (size_t k = 0; k < results.size(); ++k) {
                    if (bits(results[k].value()) != step.bits[k])
                        wrong(step.text + " differs when it is recomputed");
                    live_[static_cast<size_t>(step.out[k])] = results[k];
                    if (at(step.out[k]).needs) adopt(step.out[k], true);
                }
            }
            const Variable y = live_[static_cast<size_t>(made->result)];
            live_ = before;
            return y;
        },
        outer);
    for (size_t i = 0; i < inputs.size(); ++i) live_[static_cast<size_t>(inputs[i])] = outer[i];
    if (!wrong_.empty()) return;
    Step step;
    step.text = "recompute of " + std::to_string(made->last - made->first) + " steps";
    step.in = {made->result};
    step.reference = [](const Grids& in) { return in; };
    step.dtypes = {at(made->result).dtype};
    const bool needs = at(made->result).needs;
    if (out.requires_grad() != needs) wrong(step.text + (needs ? " lost" : " has") + " its graph");
    step.out = {remember(out, needs)};
    values_.back().step = static_cast<int>(steps_.size());
    adopt(step.out[0], needs);
    steps_.push_back(std::move(step));
}

// What grad() says of some values: the sweep that follows must send them the same.
void Graph::rehearse(int root, const Tensor& seed) {
    Variables inputs;
    for (int64_t n = 1 + dice.below(3); n > 0; --n) {
        const int id = find([](const Value& v) { return v.needs && v.segment < 0; });
        inputs.push_back(at(id).var);
        rehearsed_.emplace_back(id, Tensor());
    }
    rehearsal_ = true;
    const Tensors grads = grad({at(root).var}, inputs, {seed}, {.retain_graph = true, .allow_unused = true});
    rehearsal_ = false;
    for (size_t i = 0; i < grads.size(); ++i) rehearsed_[i].second = grads[i];
}

static bool same_numbers(const std::vector<double>& a, const std::vector<double>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

// One or more sweeps from values that need a gradient.
void Graph::backward() {
    std::vector<int> roots;
    for (size_t i = values_.size(); i-- > 0;)
        if (values_[i].needs && values_[i].segment < 0 && (roots.empty() || dice.chance(0.15)))
            roots.push_back(static_cast<int>(i));
    if (roots.size() > 3) roots.resize(3);
    const bool keep = dice.chance(0.2);
    for (size_t k = 0; k < roots.size() && wrong_.empty(); ++k) {
        for (Value& v : values_) v.sweeps.emplace_back();
        sweep_ = static_cast<int>(k);
        const int root = roots[k];
        const Value& v = at(root);
        std::vector<double> dy(v.data.size(), 1);
        for (double& x : dy) x = rounded(dice.real(-2, 2), v.dtype);
        Tensor seed = laid(dy, v.sizes, v.dtype);
        if (v.data.size() == 1 && dice.chance(0.5)) dy = {1}, seed = Tensor();
        expected_.emplace_back(values_.size());
        Expected& e = expected_.back()[static_cast<size_t>(root)];
        e.grad = dy;
        e.room.assign(dy.size(), 0);
        e.size.assign(dy.size(), 0);
        for (size_t i = 0; i < dy.size(); ++i) e.size[i] = std::fabs(dy[i]);
        e.parts = 1;
        rehearsed_.clear();
        if (dice.chance(0.2)) rehearse(root, seed);
        v.var.backward(seed, {.retain_graph = k + 1 < roots.size() || keep});
        for (const auto& [id, grad] : rehearsed_) {
            const Arrival& a = at(id).sweeps[k];
            const bool came = a.calls > 0;
            if (grad.defined() != came || (came && !same_numbers(read(grad), a.left)))
                wrong("grad() of value " + std::to_string(id) + " differs from what backward() sends there");
        }
    }
    if (roots.empty() || keep || !wrong_.empty() || at(roots.back()).step < 0) return;
    sweep_ = -1;
    try {
        at(roots.back())
            .var.backward(
                Tensor::full(at(roots.back()).var.shape(), 1, at(roots.back()).dtype, options_.device));
        wrong("backward of a graph that was freed is not refused");
    } catch (const Error&) {
    }
}

std::string Graph::run() {
    try {
        set_num_threads(static_cast<int>(1 + dice.below(3)));
        const std::vector<Maker>& all = makers();
        int64_t weights = 0;
        for (const Maker& m : all) weights += m.weight;
        const int64_t most = 1 + dice.below(25);
        for (int64_t n = 0; n < 4 * most && made_ < std::min<int64_t>(most, options_.ops) && wrong_.empty();
             ++n) {
            if (dice.chance(0.06)) {
                add_segment();
                continue;
            }
            int64_t ticket = dice.below(weights);
            size_t m = 0;
            while ((ticket -= all[m].weight) >= 0) ++m;
            all[m].make(*this);
        }
        if (wrong_.empty()) backward();
        if (wrong_.empty()) wrong_ = check();
    } catch (const std::exception& error) {
        wrong(std::string("throws: ") + error.what());
        if (wrong_step_ < 0) wrong_step_ = static_cast<int>(steps_.size()) - 1;
    }
    return wrong_;
}

const std::vector<Maker>& makers() {
    static const std::vector<Maker> all = [] {
        std::vector<Maker> list;
        for (auto fill :
             {compare_makers, element_makers, view_makers, join_makers, reduction_makers, row_makers,
              product_makers, loss_makers, index_makers, random_makers, picture_makers, attention_makers})
            fill(list);
        return list;
    }();
    return all;
}

}  // namespace demi::fuzz
