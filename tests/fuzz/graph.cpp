// Values and steps of a graph. It runs in run.cpp; what is right is decided in check.cpp.
#include "tests/fuzz/graph.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "autograd/grad_mode.h"

namespace demi::fuzz {

static uint64_t mixed(uint64_t z) {  // splitmix64
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

Dice::Dice(uint64_t seed)
    : state_(mixed(mixed(seed + 1) + 0x632be59bd9b4e019u)) {}  // far apart for seeds 1, 2, 3
uint64_t Dice::next() { return mixed(state_ += 0x9e3779b97f4a7c15u); }

Graph::Graph(uint64_t seed, const Options& options) : dice(seed), options_(options) {
    const std::vector<DType> all{DType::f32, DType::f64, DType::bf16, DType::f16};
    dtypes_ = {options.doubles ? DType::f64 : dice.one_of(all)};
    if (!options.doubles && dice.chance(0.35)) dtypes_ = all;  // mixed
    palette_ = {1, dice.below(8) + 1, dice.below(5) + 1};
    if (dice.chance(0.12)) palette_.push_back(0);
    if (dice.chance(0.2)) palette_.push_back(dice.one_of<int64_t>({9, 15, 16, 17, 31, 33}));
}

DType Graph::dtype() { return dice.one_of(dtypes_); }
int64_t Graph::size() { return dice.one_of(palette_); }

Sizes Graph::sizes(int rank_at_most) {
    Sizes all(static_cast<size_t>(dice.below(rank_at_most + 1)));
    for (int64_t& size : all) size = this->size();
    while (count(all) > 256) all.pop_back();
    return all;
}

void Graph::wrong(const std::string& what) {
    if (wrong_.empty()) wrong_ = what;
}

// Memory of any order and with gaps, from somewhere in a buffer.
Tensor Graph::laid(const std::vector<double>& values, const Sizes& sizes, DType dtype) {
    std::vector<size_t> order;
    for (size_t d = sizes.size(); d-- > 0;) order.push_back(d);
    if (dice.chance(0.5)) return laid_out(values, sizes, row_major(sizes), 0, dtype, options_.device);
    if (dice.chance(0.5)) dice.shuffle(order);
    Sizes strides(sizes.size(), 1);
    int64_t next = dice.chance(0.3) ? 2 : 1;
    for (size_t d : order) {
        strides[d] = next;
        next *= std::max<int64_t>(sizes[d], 1) + (dice.chance(0.2) ? 1 : 0);
    }
    return laid_out(values, sizes, strides, dice.below(4), dtype, options_.device);
}

int Graph::remember(Variable var, bool needs) {
    Value v;
    v.var = var;
    v.dtype = var.dtype();
    v.sizes = sizes_of(var.shape());
    v.data = read(var.value());
    v.least = std::numeric_limits<double>::infinity();
    v.positive = v.finite = true;
    for (double x : v.data) {
        v.top = std::max(v.top, std::fabs(x));
        v.least = std::min(v.least, std::fabs(x));
        v.positive = v.positive && x > 0;
        v.finite = v.finite && std::isfinite(x);
    }
    v.needs = needs;
    v.alters = needs && dice.chance(0.1);
    v.segment = segment_;
    values_.push_back(std::move(v));
    live_.push_back(std::move(var));
    return static_cast<int>(values_.size()) - 1;
}

int Graph::fresh(const Sizes& sizes, DType dtype, Draw draw, double reach, bool gradient) {
    std::vector<double> values(static_cast<size_t>(count(sizes)));
    for (size_t i = 0; i < values.size(); ++i) {
        if (draw == Draw::small_integers)
            values[i] = static_cast<double>(dice.below(5)) - (floating(dtype) ? 2 : 0);
        if (draw == Draw::any) values[i] = dice.real(-reach, reach);
        if (draw == Draw::positive) values[i] = dice.real(0.3, reach);
        if (draw == Draw::apart) values[i] = (static_cast<double>(i) + dice.real(0.2, 0.8)) / 8;
    }
    if (draw == Draw::apart) dice.shuffle(values);
    const bool needs = gradient && floating(dtype) && segment_ < 0 && dice.chance(0.8);
    // A leaf that is stretched: strides of 0.
    Sizes stored = sizes;
    if (dice.chance(0.05))
        for (int64_t& size : stored) size = dice.chance(0.5) ? 1 : size;
    Tensor t;
    if (stored != sizes && count(sizes) > 0) {
        values.resize(static_cast<size_t>(count(stored)));
        t = laid(values, stored, dtype).expand(shape_of(sizes));
    } else {
        t = laid(values, sizes, dtype);
    }
    const int segment = std::exchange(segment_, -1);  // leaves live outside of recomputations
    const int id = remember(Variable(t, needs), needs);
    segment_ = segment;
    adopt(id, needs);
    return id;
}

int Graph::constant(const std::vector<double>& values, const Sizes& sizes, DType dtype) {
    const int segment = std::exchange(segment_, -1);
    const int id = remember(Variable(laid(values, sizes, dtype)), false);
    segment_ = segment;
    return id;
}

// Inside a recomputation: its inputs, what it made, and what it captures: leaves and results of ops.
bool Graph::visible(const Value& v) const { return v.segment == segment_ || v.segment < 0; }

int Graph::find(const std::function<bool(const Value&)>& fits) {
    std::vector<int> found;
    for (size_t i = 0; i < values_.size(); ++i)
        if (visible(values_[i]) && fits(values_[i])) found.push_back(static_cast<int>(i));
    if (found.empty()) return -1;
    // Rather what is new, so that graphs grow deep.
    return dice.chance(0.5)
               ? found[found.size() - 1 -
                       static_cast<size_t>(dice.below(std::min<int64_t>(3, int64_t(found.size()))))]
               : dice.one_of(found);
}

bool usable(const Value& v, double top) {
    return floating(v.dtype) && v.finite && v.top <= top && v.data.size() <= 300;
}

int Graph::input_of_rank(int least, int most, double top) {
    const auto fits = [&](const Value& v) {
        return usable(v, top) && int(v.sizes.size()) >= least && int(v.sizes.size()) <= most;
    };
    const int id = dice.chance(0.9) ? find(fits) : -1;
    if (id >= 0) return id;
    Sizes s = sizes(most);
    while (int(s.size()) < least) s.insert(s.begin(), size());
    while (count(s) > 300) *std::max_element(s.begin(), s.end()) = 1;
    return fresh(s, dtype());
}

int Graph::input(double top) { return input_of_rank(0, 5, top); }

int Graph::like(const Sizes& sizes, DType dtype, double top) {
    const auto fits = [&](const Value& v) { return usable(v, top) && v.sizes == sizes && v.dtype == dtype; };
    const int id = dice.chance(0.6) ? find(fits) : -1;
    return id >= 0 ? id : fresh(sizes, dtype, Draw::any, std::min(top, 2.0));
}

int Graph::beside(int x, DType dtype, double top) {
    const Sizes here = at(x).sizes;
    const auto fits = [&](const Value& v) {
        if (!usable(v, top)) return false;
        for (size_t k = 1; k <= std::min(here.size(), v.sizes.size()); ++k) {
            const int64_t a = here[here.size() - k], b = v.sizes[v.sizes.size() - k];
            if (a != b && a != 1 && b != 1) return false;
        }
        return count(stretched(here, v.sizes)) <= 300;
    };
    const int id = dice.chance(0.5) ? find(fits) : -1;
    if (id >= 0) return id;
    Sizes s(here.end() - dice.below(int64_t(here.size()) + 1), here.end());
    for (int64_t& size : s) size = dice.chance(0.3) ? 1 : size;
    return fresh(s, dtype, Draw::any, std::min(top, 2.0));
}

// Called by the library during backward: value `id` has its whole gradient.
Tensor Graph::arrive(int id, const Tensor& grad) {
    Value& v = values_[static_cast<size_t>(id)];
    if (sweep_ < 0) return {};
    if (grad.dtype() != v.dtype || sizes_of(grad.shape()) != v.sizes) {
        wrong("value " + std::to_string(id) + " got a gradient of another kind: " + describe(grad));
        return {};
    }
    Arrival rehearsed, &arrival = rehearsal_ ? rehearsed : v.sweeps[static_cast<size_t>(sweep_)];
    ++arrival.calls;
    arrival.came = arrival.left = read(grad);
    if (!v.alters) return {};
    for (double& x : arrival.left) x = rounded(x / 2, v.dtype);
    return laid(arrival.left, v.sizes, v.dtype);
}

void Graph::adopt(int id, bool hook) {
    Variable& v = live_[static_cast<size_t>(id)];
    if (!hook) return;
    v.register_hook([this, id](const Tensor& grad) { return arrive(id, grad); });
    if (dice.chance(0.05))
        v.register_hook([this](const Tensor&) { wrong("a hook that was removed runs"); }).remove();
}

Variables Graph::call(const Step& step) {  // on the live variables
    Variables inputs;
    for (int id : step.in) inputs.push_back(live_[static_cast<size_t>(id)]);
    if (!step.no_grad) return step.run(inputs);
    const NoGrad off;
    return step.run(inputs);
}

std::vector<int> Graph::add(Step step) {
    step.segment = segment_;
    step.no_grad = segment_ < 0 && dice.chance(0.03);
    bool needs = false;
    for (int id : step.in) needs = needs || at(id).needs;
    needs = needs && !step.cuts && !step.no_grad;
    ++made_;
    const Variables results = call(step);
    const std::string name = step.text;
    if (step.same) {
        const bool same = results[0].node() == live_[static_cast<size_t>(step.in[0])].node() &&
                          results[0].value().buffer() == at(step.in[0]).var.value().buffer();
        if (!same && !step.no_grad) wrong(name + " does not return its operand itself");
        return step.in;
    }
    if (results.size() != step.dtypes.size()) wrong(name + " gave another number of results");
    for (size_t k = 0; k < results.size() && wrong_.empty(); ++k) {
        const bool expects = needs && floating(results[k].dtype());
        if (results[k].dtype() != step.dtypes[k])
            wrong(name + " has another dtype: " + describe(results[k].value()));
        if (results[k].requires_grad() != expects) wrong(name + (expects ? " lost" : " has") + " its graph");
        step.out.push_back(remember(results[k], expects));
        values_.back().step = static_cast<int>(steps_.size());
        step.bits.push_back(bits(results[k].value()));
        adopt(step.out.back(), expects && segment_ < 0);
    }
    if (!wrong_.empty()) wrong_step_ = static_cast<int>(steps_.size());
    steps_.push_back(std::move(step));
    return steps_.back().out;
}

}  // namespace demi::fuzz
