// Hooks: removed, silent, writing, wrong, throwing.
#include <doctest/doctest.h>

#include "autograd/record.h"
#include "tests/autograd/toy.h"
#include "tests/support/check_error.h"

using namespace demi;
using namespace demi::test;

using Values = std::vector<double>;

TEST_CASE("a hook can be removed, also by itself or by another one while they run") {
    Variable x = leaf({1});
    std::string called;
    const auto note = [&](char c) { return [&called, c](const Tensor&) { called += c; }; };
    RemovableHandle a = x.register_hook(note('a')), c, d;
    x.register_hook([&](const Tensor&) {
        called += 'b';
        c.remove();
        d.remove();
    });
    c = x.register_hook(note('c'));
    RemovableHandle self = x.register_hook([&](const Tensor&) {
        called += 's';
        self.remove();
    });
    d = x.register_hook(note('d'));
    scale(x, 1).backward();
    CHECK(called == "abs");
    scale(x, 1).backward();
    CHECK(called == "absab");
    a.remove();
    a.remove();
    RemovableHandle().remove();
    scale(x, 1).backward();
    CHECK(called == "absabb");
    const auto held = std::make_shared<int>(0);
    RemovableHandle holder = x.register_hook([held](const Tensor&) {});
    CHECK(held.use_count() == 2);
    holder.remove();
    CHECK(held.use_count() == 1);
    {
        Variable gone = leaf({1});
        holder = gone.register_hook([held](const Tensor&) {});
    }
    CHECK(held.use_count() == 1);
    holder.remove();
    // one that is added while they run is called from the next time on
    Variable y = leaf({1});
    called.clear();
    y.register_hook([&](const Tensor&) {
        if (called.empty()) y.register_hook(note('n'));
        called += 'm';
    });
    scale(y, 1).backward();
    scale(y, 1).backward();
    CHECK(called == "mmn");
}

TEST_CASE("what a hook may be: any callable that takes a gradient; an empty one is refused") {
    Variable x = leaf({2});
    int calls = 0;
    x.register_hook([&](const Tensor&) { ++calls; });
    x.register_hook([&](Tensor) { ++calls; });
    x.register_hook(std::function<void(const Tensor&)>([&](const Tensor&) { ++calls; }));
    x.register_hook([&](const Tensor& g) {
        ++calls;
        return g;
    });
    x.register_hook([calls = 0](const Tensor&) mutable { ++calls; });
    scale(x, 3).backward();
    CHECK(calls == 4);
    CHECK(grad(x) == Values{3});
    const std::string told = "[register_hook] the hook is empty";
    CHECK(error_of([&] { x.register_hook(nullptr); }) == told);
    CHECK(error_of([&] { x.register_hook({}); }) == told);
    CHECK(error_of([&] { x.register_hook(Variable::Hook()); }) == told);
    CHECK(error_of([&] { x.register_hook(std::function<void(const Tensor&)>()); }) == told);
    CHECK(error_of([&] { x.register_hook(static_cast<void (*)(const Tensor&)>(nullptr)); }) == told);
    CHECK(error_of([&] { x.register_hook(static_cast<Tensor (*)(const Tensor&)>(nullptr)); }) == told);
    CHECK(error_of([] { Variable().register_hook(Variable::Hook()); }) ==
          "[register_hook] needs a variable that requires a gradient: got an undefined tensor");
}

TEST_CASE("a hook that writes changes its own gradient and no other") {
    const auto zero = [](const Tensor& g) { fill(g, 0); };
    for (int which = 0; which < 2; ++which) {  // both inputs of add get the same memory
        Variable a = leaf({1}), b = leaf({1});
        (which == 0 ? a : b).register_hook(zero);
        add(a, b).backward();
        CHECK(grad(a) == Values{which == 0 ? 0.0 : 1.0});
        CHECK(grad(b) == Values{which == 1 ? 0.0 : 1.0});
        Variable c = scale(a, 1), d = scale(b, 1);  // results of ops
        (which == 0 ? c : d).register_hook(zero);
        const Tensor seed = vec({5});
        add(pass(c), pass(d)).backward(seed);
        CHECK(values(seed) == Values{5});
        CHECK(grad(a) == Values{which == 0 ? 0.0 : 6.0});
        CHECK(grad(b) == Values{which == 1 ? 0.0 : 6.0});
    }
    Variable wide = leaf({1, 2, 3}), also = leaf({1, 2, 3});
    wide.register_hook([](const Tensor& g) { fill(g.slice(0, 0, 1), 9); });
    sum(add(wide, also)).backward();  // one element seen three times
    CHECK(grad(wide) == Values{9, 1, 1});
    CHECK(grad(also) == Values{1, 1, 1});
    Variable root = leaf({1});
    const Tensor seed = vec({5});
    root.register_hook(zero);
    root.backward(seed);
    CHECK(values(seed) == Values{5});
    // a saved tensor that comes back as a gradient
    Variable x = leaf({1, 2});
    const Tensor kept = vec({2, 3});
    x.register_hook(zero);
    record("leak", {x}, vec({0}), [kept](const Tensor&, const Needs&) { return Tensors{kept}; }).backward();
    CHECK(values(kept) == Values{2, 3});
    CHECK(grad(x) == Values{0, 0});
}

TEST_CASE("what a hook keeps or returns from elsewhere is not what goes on") {
    Variable a = leaf({1}), b = leaf({1}), y = add(a, b);
    Tensor kept;
    y.register_hook([&](const Tensor& g) { kept = g; });
    b.register_hook([&](const Tensor&) { fill(kept, 100); });  // before the hooks of a
    pass(y).backward();
    CHECK(grad(a) == Values{1});
    CHECK(grad(b) == Values{1});
    CHECK(values(kept) == Values{100});

    const Tensor fixed = vec({7});
    Variable c = leaf({1}), d = leaf({1}), z = add(c, d);
    z.register_hook([&](const Tensor&) { return fixed; });
    d.register_hook([&](const Tensor& g) {
        fill(g, 1);
        fill(fixed, 50);
    });
    z.backward();
    CHECK(grad(c) == Values{7});
    CHECK(grad(d) == Values{1});
}

TEST_CASE("a hook that returns the wrong thing, or throws") {
    const auto with = [](Tensor wrong) {
        Variable x = leaf({1, 2});
        x.register_hook([wrong](const Tensor&) { return wrong; });
        const std::string told = error_of([&] { sum(x).backward(); });
        CHECK_FALSE(x.grad().defined());
        return told;
    };
    CHECK(with(vec({1})) == "[leaf] a gradient hook must return f64 (2,) on cpu: got f64 (1,) on cpu");
    CHECK(has(with(Tensor::zeros({2})), "got f32 (2,) on cpu"));
    CHECK(has(with(Tensor::zeros({2}, DType::i64)), "got i64 (2,) on cpu"));

    Variable x = leaf({2}), y = scale(x, 3), late = leaf({1}), z = mul(y, late);
    bool fails = true;
    y.register_hook([&](const Tensor&) {
        if (fails) throw std::runtime_error("not today");
    });
    for (const bool retain : {true, false}) {
        CHECK_THROWS_WITH(z.backward({}, {.retain_graph = retain}), "not today");
        CHECK_FALSE(x.grad().defined());
        CHECK_FALSE(late.grad().defined());  // its gradient was there before the hook of y ran
    }
    fails = false;
    CHECK(has(error_of([&] { z.backward(); }), "[mul] backward: this part of the graph was already freed"));
    y.backward();  // what was not reached is whole
    CHECK(grad(x) == Values{3});
}
