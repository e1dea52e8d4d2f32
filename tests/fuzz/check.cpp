// Whether a graph that has run is right.
#include <algorithm>
#include <limits>
#include <sstream>

#include "tests/fuzz/graph.h"

namespace demi::fuzz {
namespace {

constexpr double kRoom = 4;  // times the running error bound

std::string told(const std::string& what, const Value& v, size_t i, double got, double want, double room) {
    std::ostringstream text;
    text.precision(17);
    text << what << ", element " << i << " of " << text_of(v.sizes) << ": " << got << ", expected " << want;
    text.precision(3);
    text << " within " << room;
    return text.str();
}

bool agree(double got, double want, double room) {
    return got == want || room == HUGE_VAL || std::fabs(got - want) <= room ||
           (std::isnan(got) && std::isnan(want));
}

// Too large for the dtype, or for a half on the way: then the result may be anything there.
bool out_of_range(double v, double room, DType dtype) {
    return !(std::fabs(v) + room < 0.5 * largest(dtype));
}

}  // namespace

std::string Graph::check_step(const Step& step) {
    tape().clear();
    Grids in;
    for (int id : step.in) {
        const Value& v = at(id);
        Grid grid(v.sizes);
        for (size_t i = 0; i < v.data.size(); ++i)
            grid.nums[i] = v.needs ? tape().leaf(v.data[i]) : exact(v.data[i]);
        in.push_back(std::move(grid));
    }
    const Grids out = step.reference(in);
    if (out.size() != step.out.size()) return "the reference has another number of results";
    const DType inside = computing(step.dtypes[0]);
    for (size_t k = 0; k < out.size(); ++k) {
        const Value& v = at(step.out[k]);
        if (out[k].sizes != v.sizes)
            return "has sizes " + text_of(v.sizes) + ", expected " + text_of(out[k].sizes);
        const bool crosses = step.crossing == DType::f16 && k == 0;
        for (size_t i = 0; i < v.data.size(); ++i) {
            const Num& want = out[k].nums[i];
            const double exactly = kRoom * unit(inside) * want.e;
            const double room = exactly + half_step(std::fabs(want.v) + exactly, v.dtype) +
                                (crosses ? half_step(want.v, DType::f16) : 0);
            const DType narrow = crosses ? DType::f16 : v.dtype;
            if (!agree(v.data[i], want.v, room) &&
                !(std::isfinite(want.v) && floating(narrow) && out_of_range(want.v, room, narrow)))
                return told("gives", v, i, v.data[i], want.v, room);
        }
    }
    for (size_t s = 0; s < expected_.size(); ++s) {
        tape().start();
        bool any = false;
        for (size_t k = 0; k < out.size(); ++k) {
            const Value& v = at(step.out[k]);
            const Arrival& a = v.sweeps[s];
            if (a.calls == 0) continue;
            any = true;
            for (size_t i = 0; i < a.left.size(); ++i) tape().seed(out[k].nums[i], a.left[i]);
        }
        if (!any) continue;
        tape().sweep();
        for (size_t n = 0; n < in.size(); ++n) {
            const Value& v = at(step.in[n]);
            if (!v.needs) continue;
            Expected& to = expected_[s][static_cast<size_t>(step.in[n])];
            to.grad.resize(v.data.size());
            to.room.resize(v.data.size());
            to.size.resize(v.data.size());
            ++to.parts;
            for (size_t i = 0; i < v.data.size(); ++i) {
                const Tape::Adjoint& g = tape().gradient(in[n].nums[i].id);
                to.grad[i] += g.v;
                to.size[i] += std::fabs(g.v);
                const double exactly = kRoom * unit(inside) * g.e;
                to.room[i] +=
                    exactly + half_step(std::fabs(g.v) + exactly, v.dtype) +
                    (step.crossing == DType::f16 ? half_step(std::fabs(g.v) + exactly, DType::f16) : 0);
                if (step.crossing == DType::f16 && out_of_range(g.size, exactly, DType::f16))
                    to.room[i] = std::numeric_limits<double>::infinity();
            }
        }
    }
    return "";
}

std::string Graph::check_value(int id) const {
    const Value& v = at(id);
    for (size_t s = 0; s < expected_.size(); ++s) {
        const Expected& want = expected_[s][static_cast<size_t>(id)];
        const Arrival& got = v.sweeps[s];
        const std::string what =
            "the gradient of value " + std::to_string(id) + " in sweep " + std::to_string(s);
        if (got.calls > 1) return what + " reaches its hook in " + std::to_string(got.calls) + " parts";
        if (want.parts == 0 && got.calls > 0) return what + " comes from nowhere";
        if (want.parts == 0) continue;
        const bool nothing = std::all_of(want.size.begin(), want.size.end(), [](double x) { return x == 0; });
        if (got.calls == 0 && !nothing) return what + " never came";
        for (size_t i = 0; i < v.data.size() && got.calls > 0; ++i) {
            const double room =
                want.room[i] + (want.parts - 1) * half_step(want.size[i] + want.room[i], v.dtype);
            if (!agree(got.came[i], want.grad[i], room) && !out_of_range(want.size[i], room, v.dtype))
                return told(what, v, i, got.came[i], want.grad[i], room);
        }
    }
    return "";
}

// A leaf keeps the sum of what its hook sent on.
std::string Graph::check_leaf(int id) const {
    const Value& v = at(id);
    std::vector<double> sum(v.data.size()), size(v.data.size());
    int parts = 0;
    for (const Arrival& a : v.sweeps) {
        if (a.calls == 0) continue;
        ++parts;
        for (size_t i = 0; i < sum.size(); ++i) sum[i] += a.left[i], size[i] += std::fabs(a.left[i]);
    }
    const std::string what = "grad() of leaf " + std::to_string(id);
    const Tensor grad = v.var.grad();
    if (grad.defined() != (parts > 0)) return what + (parts > 0 ? " is undefined" : " is defined");
    if (parts == 0) return "";
    if (grad.dtype() != v.dtype || sizes_of(grad.shape()) != v.sizes) return what + " is " + describe(grad);
    const std::vector<double> got = read(grad);
    for (size_t i = 0; i < got.size(); ++i) {
        const double room = (parts - 1) * half_step(size[i], v.dtype);
        if (!agree(got[i], sum[i], room) && !out_of_range(size[i], room, v.dtype))
            return told(what, v, i, got[i], sum[i], room);
    }
    return "";
}

// Views share memory, copies do not.
std::string Graph::check_views(const Step& step) const {
    if (!step.views || step.in.empty()) return "";
    for (int id : step.out)
        if (at(id).var.value().buffer() != at(step.in[0]).var.value().buffer())
            return "copies where a view was promised";
    return "";
}

std::string Graph::check() {
    for (size_t i = 0; i < steps_.size(); ++i) {
        wrong_step_ = static_cast<int>(i);
        std::string text = check_step(steps_[i]);
        if (text.empty()) text = check_views(steps_[i]);
        if (!text.empty()) return steps_[i].text + ' ' + text;
    }
    for (size_t i = values_.size(); i-- > 0;) {
        const int id = static_cast<int>(i);
        if (!values_[i].needs) continue;
        wrong_step_ = -1;
        std::string text = check_value(id);
        if (text.empty() && values_[i].step < 0) text = check_leaf(id);
        if (text.empty()) continue;
        // The newest use of the value is a good place to look.
        for (size_t s = 0; s < steps_.size(); ++s)
            if (std::find(steps_[s].in.begin(), steps_[s].in.end(), id) != steps_[s].in.end()) {
                wrong_step_ = static_cast<int>(s);
                text += "\n    used by " + steps_[s].text;
            }
        return text;
    }
    return "";
}

std::string Graph::history(bool all) const {
    std::vector<bool> used(steps_.size(), all);
    std::vector<int> open{wrong_step_};
    while (!open.empty()) {
        const int s = open.back();
        open.pop_back();
        if (s < 0 || s >= int(steps_.size()) || (used[static_cast<size_t>(s)] && !all)) continue;
        if (all) break;
        used[static_cast<size_t>(s)] = true;
        for (int id : steps_[static_cast<size_t>(s)].in) open.push_back(at(id).step);
    }
    std::ostringstream text;
    const auto show = [&](int id) {
        const Value& v = at(id);
        text << " #" << id << (v.needs ? "*" : "") << ' ' << v.dtype << ' ' << text_of(v.sizes);
        if (v.step < 0 && v.var.defined()) text << " leaf, strides " << v.var.value().strides();
        if (v.alters) text << ", its hook halves the gradient";
    };
    for (size_t s = 0; s < steps_.size(); ++s) {
        if (!used[s]) continue;
        text << "  " << s << ": " << steps_[s].text << (steps_[s].no_grad ? " without a graph" : "");
        if (steps_[s].segment >= 0) text << " (recomputed)";
        text << " <-";
        for (int id : steps_[s].in) show(id), text << ';';
        text << " ->";
        for (int id : steps_[s].out) show(id), text << ';';
        text << '\n';
    }
    return text.str();
}

}  // namespace demi::fuzz
