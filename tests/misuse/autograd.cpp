// Variables, record(), hooks, recomputation.
#include "autograd/grad_mode.h"
#include "autograd/print.h"
#include "autograd/recompute.h"
#include "autograd/record.h"
#include "ops/operators.h"
#include "tests/misuse/walk.h"

namespace demi::test {
namespace {

using Vars = std::vector<Variable>;
using Bits = std::vector<int64_t>;

// A hook or backward function by number: none at all, or one that answers wrongly.
Variable::Hook hook_of(int kind, const Tensor& answer) {
    if (kind == 0) return nullptr;
    if (kind == 1) return [](const Tensor&) -> Tensor { fail("thrown", "on purpose"); };
    return [answer](const Tensor&) { return answer; };
}

void variable_walks(Walks& walks) {
    walks.add(
        "Variable::Variable", [](Tensor t, bool grad) { return Variable(t, grad); }, tensor({2}), true);
    walks.add(
        "Variable::defined Variable::value Variable::requires_grad Variable::is_leaf Variable::detach "
        "Variable::grad "
        "Variable::shape Variable::dtype Variable::rank Variable::numel Variable::node Variable::output "
        "Variable::zero_grad Variable::device",
        [](Variable v) {
            (void)(v.defined(), v.value(), v.requires_grad(), v.is_leaf(), v.detach(), v.grad(), v.shape(),
                   v.dtype());
            (void)(v.rank(), v.numel(), v.node(), v.output());
            v.zero_grad();
            (void)v.device();
        },
        variable({2}));
    walks.add(
        "Variable::size", [](Variable v, int d) { return v.size(d); }, variable({2}), 0);
    walks.add(
        "Variable::item", [](Variable v) { return v.item(); }, variable({1}));
    walks.add(
        "Variable::set_grad", [](Variable v, Tensor g) { v.set_grad(g), v.backward(g); }, variable({2}),
        tensor({2}));
    walks.add(
        "Variable::backward",
        [](Variable v, Tensor g, bool retain, bool twice) {
            const Variable y = mul(v, 2.0);
            y.backward(g, {.retain_graph = retain});
            if (twice) y.backward(g);
        },
        variable({2}), tensor({2}), true, true);
    walks.add(
        "Variable::register_hook",
        [](Variable v, int kind, Tensor answer, bool inside) {
            const Variable y = mul(v, 2.0);
            Variable(inside ? y : v).register_hook(hook_of(kind, answer));
            return y;
        },
        variable({2}), 2, tensor({2}), true);
    walks.add(
        "RemovableHandle::RemovableHandle RemovableHandle::remove",
        [](Variable v, bool none, int times) {
            RemovableHandle handle;
            if (!none) handle = v.register_hook([](const Tensor&) {});
            for (int i = 0; i < (times & 3); ++i) handle.remove();
            return v;
        },
        variable({2}), false, 1);
    walks.add(
        "Variable::requires_grad_ Variable::grad_scale Variable::move_to",
        [](Variable v, bool on, bool inside, Device device) {
            Variable y = inside ? mul(v, 2.0) : v;
            (void)y.grad_scale();
            y.requires_grad_(on);
            y.move_to(device);
            return mul(y, 2.0);
        },
        variable({2}), true, false, Device());
    walks.add(
        "grad",
        [](Vars outputs, Vars inputs, std::vector<Tensor> seeds, bool retain, bool unused) {
            return grad(outputs, inputs, seeds, {retain, unused});
        },
        Vars{variable({})}, Vars{variable({})}, std::vector<Tensor>{}, false, true);
    walks.add(
        "grad",
        [](Variable x, Variable input, Tensor seed, bool own) {
            const Variable y = mul(x, 2.0);
            return grad({y}, {own ? x : input}, {seed}, {});
        },
        variable({2}), variable({2}), tensor({2}), true);
}

void graph_walks(Walks& walks) {
    walks.add(
        "NoGrad::NoGrad EnableGrad::EnableGrad grad_enabled",
        [](Variable v) {
            const NoGrad off;
            const EnableGrad on;
            (void)grad_enabled();
            return mul(v, 2.0);
        },
        variable({2}));
    walks.add(
        "anomaly_detection set_anomaly_detection",
        [](Variable v, double by) {
            set_anomaly_detection(true);
            (void)anomaly_detection();
            const Variable y = mul(v, by);
            set_anomaly_detection(false);
            return y;
        },
        variable({2}), 2.0);
    walks.add(
        "graph_text graph_size",
        [](Variable v) {
            (void)(graph_text(v), graph_size(v));
            const Variable y = mul(v, 2.0);
            return graph_text(y) + std::to_string(graph_size(y));
        },
        variable({2}));
    walks.add(
        "record",
        [](Variable v, Tensor value, int kind, Tensor answer, int64_t answers) {
            const auto count = static_cast<size_t>(answers < 0 || answers > 9 ? 9 : answers);
            if (kind == 0) return record("walk", {v}, value, nullptr);
            return record("walk", {v}, value,
                          [=](const Tensor&, const Needs&) { return Tensors(count, answer); });
        },
        variable({2}), tensor({2}), 1, tensor({2}), 1);
    walks.add(
        "record",
        [](Vars inputs, std::vector<Tensor> values, bool none) {
            if (none) return record("walk", inputs, values, Backward());
            return record("walk", inputs, values,
                          [n = inputs.size()](std::span<const Tensor>, const Needs& needs) {
                              (void)needs.any();
                              return Tensors(n);
                          });
        },
        Vars{variable({2})}, std::vector<Tensor>{tensor({2}), tensor({3})}, false);
    walks.add(
        "needs_grad Inputs::Inputs Inputs::Input::Input Inputs::size note_read",
        [](Vars inputs, Tensor tensor) {
            note_read(tensor);
            const Variable first = inputs.empty() ? Variable() : inputs[0];
            const auto size = [](const Inputs& both) { return both.size(); };
            return needs_grad(inputs) + needs_grad({tensor, first}) + size({tensor, first});
        },
        Vars{variable({2})}, tensor({2}));
    walks.add(
        "Needs::Needs Needs::size Needs::any",
        [](Bits bits) {
            const Needs needs(std::vector<bool>(bits.begin(), bits.end()));
            return needs.any() ? needs.size() : 0;
        },
        Bits{0, 1});
    walks.add(
        "Saved::Saved Saved::get",
        [](Tensor t, bool write) {
            const Saved saved(t), none;
            if (write) (void)t.mutable_raw();
            use(none.get());
            return saved.get();
        },
        tensor({2}), false);
    walks.add(
        "recompute",
        [](Vars inputs, int kind, Tensor constant, Generator* generator) {
            using Fn = std::function<Variable(const Vars&)>;
            const Fn fns[] = {nullptr, [](const Vars& x) { return x.at(0); },
                              [=](const Vars&) { return Variable(constant); },
                              [](const Vars& x) { return mul(x.empty() ? Variable() : x[0], 2.0); },
                              [](const Vars&) -> Variable { fail("thrown", "on purpose"); }};
            if (inputs.empty() && kind == 1) return Variable();
            return recompute(fns[kind < 0 || kind > 4 ? 3 : kind], inputs, generator);
        },
        Vars{variable({2})}, 3, tensor({2}), static_cast<Generator*>(nullptr));
}

}  // namespace

void autograd_walks(Walks& walks) {
    variable_walks(walks);
    graph_walks(walks);
}

}  // namespace demi::test
