// requires_grad_(): freezing and thawing leaves.
#include <doctest/doctest.h>

#include "autograd/print.h"
#include "autograd/recompute.h"
#include "tests/autograd/toy.h"
#include "tests/support/check_error.h"

using namespace demi;
using namespace demi::test;

using Values = std::vector<double>;

TEST_CASE("a frozen leaf is a constant to every copy, until it is thawed") {
    Variable w = leaf({3});
    const Variable x = leaf({2}), copy_of_w = w;
    w.requires_grad_(false);
    CHECK_FALSE(copy_of_w.requires_grad());
    CHECK(copy_of_w.is_leaf());
    CHECK_FALSE(scale(copy_of_w, 2).requires_grad());
    CHECK(graph_text(scale(copy_of_w, 2)) == "no graph\n");
    CHECK(graph_text(w) == "no graph\n");
    mul(x, copy_of_w).backward();
    CHECK(grad(x) == Values{3});
    CHECK_FALSE(w.grad().defined());
    CHECK(has(error_of([&] { w.backward(); }), "[backward] needs a variable that requires a gradient"));
    CHECK(has(error_of([&] { w.set_grad(vec({1})); }), "[set_grad] needs a leaf that requires a gradient"));
    CHECK(has(error_of([&] { w.register_hook([](const Tensor&) {}); }), "[register_hook] needs a variable"));
    CHECK(has(error_of([&] { grad({mul(x, x)}, {w}); }), "[grad] input 0 must require a gradient"));
    Variable(copy_of_w).requires_grad_();
    mul(x, w).backward();
    CHECK(grad(copy_of_w) == Values{2});
    w.requires_grad_(false);
    CHECK(grad(w) == Values{2});  // what it had stays
    w.zero_grad();
    CHECK_FALSE(copy_of_w.grad().defined());
}

TEST_CASE("leaves that begin frozen, constants, and what cannot be a leaf") {
    Variable frozen(vec({1}), false);
    const Variable same = frozen;
    CHECK_FALSE(same.requires_grad());
    CHECK(&frozen.requires_grad_() == &frozen);
    CHECK(same.requires_grad());

    Variable constant(vec({1}));
    constant.requires_grad_(false);
    const Variable later = constant.requires_grad_();
    scale(constant, 2).backward();
    CHECK(grad(later) == Values{2});

    Variable result = scale(later, 2), integer(Tensor::zeros({1}, DType::i64)), plain(integer.value(), false);
    for (const bool on : {false, true}) {
        CHECK(error_of([&] { result.requires_grad_(on); }) ==
              "[requires_grad_] needs a leaf: got the result of scale; detach() it first");
        CHECK(error_of([&] { Variable().requires_grad_(on); }) ==
              "[requires_grad_] needs a defined variable");
    }
    CHECK(result.requires_grad());
    CHECK_FALSE(integer.requires_grad_(false).requires_grad());
    for (Variable* v : {&integer, &plain})
        CHECK(has(error_of([&] { v->requires_grad_(); }),
                  "only a floating-point tensor can require a gradient"));
    CHECK_FALSE(Variable(Tensor(), false).defined());
}

TEST_CASE("frozen between forward and backward: it gets nothing; thawed: what was recorded stays") {
    std::vector<bool> asked;
    const auto watched = [&](const Variable& a, const Variable& b) {
        return record("watched", {a, b}, a.value(), [&asked](const Tensor& dy, const Needs& needs) {
            asked = {needs[0], needs[1]};
            return Tensors{dy, dy};
        });
    };
    Variable x = leaf({2}), w = leaf({3});
    int hooks = 0;
    w.register_hook([&](const Tensor&) { ++hooks; });
    const auto captured = [&](const std::vector<Variable>& in) { return watched(in[0], w); };
    for (const bool checkpoint : {false, true}) {
        x.zero_grad();
        const auto made = [&] { return checkpoint ? recompute(captured, {x}) : captured({x}); };
        const Variable y = made(), only_w = scale(w, 2), z = scale(made(), 1);
        w.requires_grad_(false);
        y.backward();
        CHECK(asked == std::vector<bool>{true, false});
        only_w.backward();
        CHECK(grad(x) == Values{1});
        CHECK_FALSE(w.grad().defined());
        CHECK(hooks == 0);
        const Variable frozen_then = made();
        w.requires_grad_();
        frozen_then.backward();
        CHECK_FALSE(w.grad().defined());
        CHECK(hooks == 0);
        z.backward();  // recorded before it was frozen, swept after it was thawed
        CHECK(grad(w) == Values{1});
        CHECK(hooks == 1);
        hooks = 0;
        w.zero_grad();
    }
    // recomputed from constants alone, and thawed since
    w.requires_grad_(false);
    const Variable y = recompute([&](const std::vector<Variable>&) { return scale(w, 2); }, {});
    w.requires_grad_();
    CHECK_FALSE(y.requires_grad());
}
