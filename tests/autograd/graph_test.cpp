// The graph and its sweep: gradients, accumulation, freeing, hooks, errors.
#include <doctest/doctest.h>

#include "autograd/grad_mode.h"
#include "autograd/print.h"
#include "tests/autograd/toy.h"
#include "tests/support/check_error.h"

using namespace demi;
using namespace demi::test;

using Values = std::vector<double>;

TEST_CASE("gradients of products, diamonds and shared inputs") {
    const Variable x = leaf({2, 3}), w = leaf({5, 7});
    sum(mul(x, w)).backward();
    CHECK(grad(x) == Values{5, 7});
    CHECK(grad(w) == Values{2, 3});

    const Variable a = leaf({3});  // y = (2a)(a + a) + a a = 5 a^2
    const Variable left = scale(a, 2), right = add(a, a);
    add(mul(left, right), mul(a, a)).backward();
    CHECK(grad(a) == Values{30});

    Variable d = leaf({1.5}), top = d;  // 2^20 paths, 20 nodes
    for (int i = 0; i < 20; ++i) top = add(top, top);
    top.backward();
    CHECK(grad(d) == Values{1048576});
    CHECK(graph_size(top) == 1);  // freed: it holds its inputs no longer
}

TEST_CASE("leaves collect gradients over calls until they are told to forget") {
    const Variable x = leaf({2});
    CHECK_FALSE(x.grad().defined());
    mul(x, x).backward();
    mul(x, x).backward();
    CHECK(grad(x) == Values{8});
    Variable same = x;  // copies share everything
    same.zero_grad();
    CHECK_FALSE(x.grad().defined());
    scale(x, 3).backward();
    CHECK(grad(same) == Values{3});
    same.set_grad(vec({10}));
    scale(x, 3).backward();
    CHECK(grad(x) == Values{13});
    same.set_grad(Tensor());
    CHECK_FALSE(x.grad().defined());
    CHECK(error_of([&] { same.set_grad(Tensor::zeros({2}, DType::f64)); }) ==
          "[set_grad] gradient must match the value f64 (1,) on cpu: got f64 (2,) on cpu");
    CHECK(has(error_of([&] { scale(x, 2).set_grad(vec({1})); }), "needs a leaf that requires a gradient"));
    Variable wide = leaf({1, 2, 3});
    wide.set_grad(Tensor::full({1}, 1, DType::f64).expand({3}));
    scale(wide, 1).backward(vec({1, 2, 3}));
    CHECK(grad(wide) == Values{2, 3, 4});
    x.backward(vec({4}));  // a leaf is its own graph
    CHECK(grad(x) == Values{4});
}

TEST_CASE("a graph is used once, unless it is retained") {
    const Variable x = leaf({2}), y = mul(x, x), z = scale(y, 3);
    z.backward({}, {.retain_graph = true});
    z.backward({}, {.retain_graph = true});
    CHECK(grad(x) == Values{24});
    z.backward();
    CHECK(grad(x) == Values{36});
    CHECK(error_of([&] { z.backward(); }) == "[scale] backward: this part of the graph was already freed; "
                                             "pass retain_graph to the first backward()");
    CHECK(has(error_of([&] { scale(y, 1).backward(); }),
              "[mul] backward: this part of the graph was already freed"));
    CHECK(grad(x) == Values{36});
}

TEST_CASE("backward needs a gradient that fits, and something to go back to") {
    const Variable x = leaf({1, 2});
    CHECK(error_of([&] { scale(x, 2).backward(); }) ==
          "[backward] without a gradient the value must hold one element: got f64 (2,) on cpu");
    CHECK(has(error_of([&] { scale(x, 2).backward(vec({1})); }),
              "[backward] the gradient must match the value f64 (2,) on cpu"));
    CHECK(has(error_of([&] { scale(x, 2).backward(Tensor::zeros({2})); }), "got f32 (2,) on cpu"));
    CHECK(has(error_of([&] { Variable(vec({1})).backward(); }), "needs a variable that requires a gradient"));
    CHECK(has(error_of([] { Variable(Tensor::zeros({1}, DType::i32), true); }),
              "only a floating-point tensor can require"));
    CHECK(has(error_of([] { Variable(Tensor(), true); }), "got an undefined tensor"));
    const Tensor seed = vec({10, 20});
    scale(x, 2).backward(seed);
    CHECK(grad(x) == Values{20, 40});
    CHECK(values(seed) == Values{10, 20});
    CHECK(has(error_of([&] {
                  record("cut", {x}, vec({1}), std::function<Tensors(const Tensor&, const Needs&)>());
              }),
              "[cut] has no backward, but an input requires a gradient"));
}

TEST_CASE("NoGrad, EnableGrad, detach: nothing is recorded, per thread") {
    const Variable x = leaf({2});
    {
        const NoGrad off;
        CHECK_FALSE(grad_enabled());
        CHECK_FALSE(mul(x, x).requires_grad());
        {
            const EnableGrad on;
            CHECK(mul(x, x).requires_grad());
        }
        CHECK_FALSE(grad_enabled());
    }
    CHECK(grad_enabled());
    const Variable d = mul(x, x).detach();
    CHECK_FALSE(d.requires_grad());
    CHECK(d.is_leaf());
    mul(x, mul(x, x).detach()).backward();
    CHECK(grad(x) == Values{4});
    CHECK(x.detach().value().buffer() == x.value().buffer());
    CHECK_FALSE(mul(Variable(vec({1})), Variable(vec({2}))).requires_grad());
    CHECK(x.is_leaf());
    CHECK_FALSE(mul(x, x).is_leaf());
}

TEST_CASE("what needs no gradient gets none computed") {
    const Variable x = leaf({2}), frozen(vec({3}));
    std::vector<std::vector<bool>> asked;
    const auto watched = [&](const Variable& a, const Variable& b) {
        return record("watched", {a, b}, a.value(), [&asked](const Tensor& dy, const Needs& needs) {
            asked.push_back({needs[0], needs[1]});
            return Tensors{needs[0] ? dy : Tensor(), needs[1] ? dy : Tensor()};
        });
    };
    watched(x, frozen).backward();
    watched(frozen, x).backward();
    watched(frozen, frozen.detach());
    watched(x, x).backward();
    CHECK(asked == std::vector<std::vector<bool>>{{true, false}, {false, true}, {true, true}});
    CHECK_FALSE(frozen.grad().defined());
    // a branch that gets no gradient is not entered
    const Variable y = watched(x, x);
    asked.clear();
    record("stop", {y, x}, vec({1}), [](const Tensor& dy, const Needs&) {
        return Tensors{Tensor(), dy};
    }).backward();
    CHECK(asked.empty());
}

TEST_CASE("hooks see the complete gradient and may replace it") {
    Variable x = leaf({2});
    std::vector<double> seen;
    Variable y = mul(x, x);
    y.register_hook([&](const Tensor& g) {
        seen.push_back(g.item());
        return Tensor();
    });
    y.register_hook([](const Tensor& g) { return map(g, [](double v) { return v * 10; }); });
    y.register_hook([&](const Tensor& g) {
        seen.push_back(g.item());
        return Tensor();
    });
    x.register_hook([&](const Tensor& g) {
        seen.push_back(g.item());
        return map(g, [](double v) { return v + 1; });
    });
    add(y, scale(y, 2)).backward();
    CHECK(seen == std::vector<double>{3, 30, 120});
    CHECK(grad(x) == Values{121});
    scale(x, 1).backward();
    CHECK(grad(x) == Values{123});  // a leaf's hook runs once per backward, on that call's gradient

    Variable bad = scale(x, 2);
    bad.register_hook([](const Tensor&) { return Tensor::zeros({3}, DType::f64); });
    CHECK(error_of([&] { bad.backward(); }) ==
          "[scale] a gradient hook must return f64 (1,) on cpu: got f64 (3,) on cpu");
    Variable none = Variable(vec({1}));
    CHECK(has(error_of([&] { none.register_hook([](const Tensor& g) { return g; }); }), "[register_hook]"));
}

TEST_CASE("a saved tensor that was written to throws, naming the op") {
    const Variable x = leaf({2, 3}), w = leaf({5, 7});
    const Variable y = sum(mul(x, w));
    Tensor memory = w.value();
    fill(memory, 1);
    const std::string message = error_of([&] { y.backward(); });
    CHECK_MESSAGE(
        has(message,
            "[mul] backward: [saved] a tensor saved for backward was modified in place: f64 (2,) on cpu"),
        message);
    CHECK(has(message, "saved at version "));
    const Variable v = sum(scale(x, 2));
    fill(Tensor(x.value()), 9);  // scale saves nothing
    v.backward();
    CHECK(grad(x) == Values{2, 2});
    Saved saved{vec({1})};
    CHECK(values(saved) == Values{1});
}

TEST_CASE("a backward that returns the wrong thing is named") {
    const Variable x = leaf({1, 2});
    const auto with = [&](Tensors grads) {
        const Variable y =
            record("wrong", {x}, vec({1}), [grads](const Tensor&, const Needs&) { return grads; });
        return error_of([&] { y.backward(); });
    };
    CHECK(with({vec({1})}) ==
          "[wrong] backward: gradient of input 0 must be f64 (2,) on cpu: got f64 (1,) on cpu");
    CHECK(with({Tensor::zeros({2})}) ==
          "[wrong] backward: gradient of input 0 must be f64 (2,) on cpu: got f32 (2,) on cpu");
    CHECK(with({}) == "[wrong] backward must return 1 gradients: got 0");
    CHECK(with({vec({1, 2}), vec({1})}) == "[wrong] backward must return 1 gradients: got 2");
    CHECK(with({Tensor()}) == "");
    CHECK_FALSE(x.grad().defined());
}

TEST_CASE("several outputs: unused ones come as undefined, integer ones carry no history") {
    std::vector<bool> got;
    const Variable x = leaf({1, 2, 3});
    const std::vector<Variable> parts = split(x, 1, &got);
    sum(parts[1]).backward();
    CHECK(got == std::vector<bool>{false, true});
    CHECK(grad(x) == Values{0, 1, 1});
    const std::vector<Variable> both = split(x, 2, &got);
    add(sum(both[1]), sum(mul(both[0], both[0]))).backward();
    CHECK(got == std::vector<bool>{true, true});
    CHECK(grad(x) == Values{2, 5, 2});
    Variable second = split(x, 1)[1];
    second.register_hook([](const Tensor& g) { return map(g, [](double) { return 100.0; }); });
    sum(second).backward();
    CHECK(grad(x) == Values{2, 105, 102});
    const std::vector<Variable> mixed =
        record("top", {x}, Tensors{vec({3}), Tensor::full({1}, 2, DType::i64)},
               [](std::span<const Tensor> dy, const Needs&) {
                   return Tensors{dy[1].defined() ? Tensor() : Tensor::full({3}, dy[0].item(), DType::f64)};
               });
    CHECK(mixed[0].requires_grad());
    CHECK_FALSE(mixed[1].requires_grad());
    mixed[0].backward();
    CHECK(grad(x) == Values{3, 106, 103});
}

TEST_CASE("stored gradients alias nothing: not each other, the seed, a saved tensor or an expanded one") {
    const Variable a = leaf({1, 2}), b = leaf({3, 4});
    const Tensor seed = vec({1, 1});
    add(a, b).backward(seed);
    CHECK(a.grad().buffer() != b.grad().buffer());
    CHECK(a.grad().buffer() != seed.buffer());
    fill(a.grad(), 50);
    CHECK(grad(b) == Values{1, 1});
    CHECK(values(seed) == Values{1, 1});
    add(a, b).backward(seed);  // added in place, each to its own
    CHECK(grad(a) == Values{51, 51});
    CHECK(grad(b) == Values{2, 2});

    const Variable c = leaf({5, 6}), twice = add(c, c);
    twice.backward(seed);
    CHECK(grad(c) == Values{2, 2});
    CHECK(values(seed) == Values{1, 1});

    const Variable w = leaf({7, 8}), kept(vec({2, 3}));
    record("leak", {w}, vec({0}), [saved = kept.value()](const Tensor&, const Needs&) {
        return Tensors{saved};
    }).backward();
    fill(w.grad(), 0);
    CHECK(values(kept.value()) == Values{2, 3});
    const Variable e = leaf({1, 2, 3});
    sum(e).backward();
    CHECK(e.grad().is_contiguous());
    CHECK(grad(e) == Values{1, 1, 1});
    const Variable f = leaf({1, 2, 3});
    add(sum(f), sum(f)).backward();  // two expanded ones meet
    CHECK(grad(f) == Values{2, 2, 2});
    CHECK(f.grad().is_contiguous());
    Variable g = leaf({1});
    Tensor outside;
    g.register_hook([&](const Tensor& d) {
        outside = d;
        return Tensor();
    });
    scale(g, 2).backward();
    fill(outside, 9);
    CHECK(grad(g) == Values{2});
}

TEST_CASE("values without elements, expanded ones included: forward, backward, twice") {
    for (const Shape& shape : {Shape{0}, Shape{0, 3}, Shape{3, 0}, Shape{2, 0, 3}}) {
        const Variable x(Tensor::zeros(shape, DType::f64), true), w(Tensor::zeros(shape, DType::f64), true);
        Variable hooked = mul(x, w);
        int hooks = 0;
        hooked.register_hook([&](const Tensor& g) {
            fill(g, 2);
            ++hooks;
        });
        for (int i = 0; i < 2; ++i) {
            const Variable y = add(sum(x), scale(sum(add(x, w)), 2));  // expanded gradients meet
            add(y, sum(hooked)).backward({}, {.retain_graph = true});
            CHECK(x.grad().shape() == shape);
        }
        CHECK(hooks == 2);
        CHECK(grad({sum(x)}, {x})[0].shape() == shape);
        Variable set = x;
        set.set_grad(Tensor::zeros({}, DType::f64).expand(shape));
        sum(x).backward();
        set.backward(Tensor::zeros({}, DType::f64).expand(shape));
        CHECK(x.grad().shape() == shape);
    }
}
