// Every function of the layer with what it cannot use: Errors, and nothing else.
#include <doctest/doctest.h>

#include "autograd/grad_mode.h"
#include "autograd/print.h"
#include "autograd/recompute.h"
#include "runtime/allocator.h"
#include "tests/autograd/toy.h"
#include "tests/support/check_error.h"

using namespace demi;
using namespace demi::test;

using Values = std::vector<double>;

namespace {

Variable seen(const Variable& x, Tensor value) {
    return record("seen", {x}, std::move(value), [](const Tensor& dy, const Needs&) { return Tensors{dy}; });
}

}  // namespace

TEST_CASE("an undefined variable") {
    Variable none;
    for (const std::function<void()>& fn : std::vector<std::function<void()>>{
             [&] { none.backward(); },
             [&] { none.backward(vec({1})); },
             [&] { none.set_grad(vec({1})); },
             [&] { none.set_grad({}); },
             [&] { none.zero_grad(); },
             [&] { none.register_hook([](const Tensor&) {}); },
             [&] { none.requires_grad_(); },
             [&] { (void)none.detach(); },
             [&] { (void)none.device(); },
             [&] { (void)none.size(0); },
             [&] { (void)none.item(); },
             [&] { grad({none}, {none}); },
             [&] { Variable(Tensor(), true); },
             [&] { seen(none, Tensor()); },
             [&] { seen(leaf({1}), Tensor()); },
         })
        CHECK(error_of(fn) != "");
    CHECK_FALSE(none.requires_grad());
    CHECK_FALSE(none.grad().defined());
    CHECK(none.is_leaf());
    CHECK(graph_text(none) == "no graph\n");
    CHECK(graph_size(none) == 0);
    CHECK_FALSE(seen(none, vec({1})).requires_grad());  // an operand that was left out
    CHECK_FALSE(needs_grad({none, vec({1})}));
    const Variable x = leaf({2});
    recompute([](const std::vector<Variable>& in) { return mul(in[0], in[0]); }, {x, none}).backward();
    CHECK(grad(x) == Values{4});
}

TEST_CASE("gradients that do not fit, and what takes none") {
    Variable x = leaf({1, 2});
    const Variable y = scale(x, 2), integer(Tensor::zeros({2}, DType::i64));
    for (const Tensor& wrong :
         {vec({1}), vec({1, 2, 3}), Tensor::zeros({2}), Tensor::zeros({2}, DType::i64),
          Tensor::zeros({}, DType::f64), Tensor::zeros({0}, DType::f64), Tensor::zeros({2, 1}, DType::f64)}) {
        CHECK(has(error_of([&] { y.backward(wrong); }),
                  "[backward] the gradient must match the value f64 (2,)"));
        CHECK(has(error_of([&] { x.set_grad(wrong); }), "[set_grad] gradient must match the value f64 (2,)"));
        CHECK(
            has(error_of([&] { grad({y}, {x}, {wrong}); }), "[grad] the gradient must match the value f64"));
        const Variable bad =
            record("bad", {x}, vec({1}), [wrong](const Tensor&, const Needs&) { return Tensors{wrong}; });
        CHECK(has(error_of([&] { bad.backward(); }), "[bad] backward: gradient of input 0 must be f64 (2,)"));
    }
    CHECK(has(error_of([&] { integer.backward(); }), "[backward] needs a variable that requires a gradient"));
    CHECK(has(error_of([&] { Variable(integer).set_grad(integer.value()); }), "[set_grad] needs a leaf"));
    CHECK(has(error_of([&] { Variable(y).set_grad(vec({1, 2})); }), "[set_grad] needs a leaf"));
    CHECK_FALSE(seen(x, Tensor::zeros({2}, DType::i64)).requires_grad());
    CHECK_FALSE(x.grad().defined());
}

TEST_CASE("a gradient that was set is a copy, where its memory has other uses") {
    Variable a = leaf({1}), b = leaf({1});
    const Tensor shared = vec({10});
    a.set_grad(shared);
    b.set_grad(shared);
    scale(a, 1).backward();
    CHECK(grad(a) == Values{11});
    CHECK(grad(b) == Values{10});
    CHECK(values(shared) == Values{10});
    Tensor moved = vec({3});
    const void* memory = moved.raw();
    a.set_grad(std::move(moved));
    CHECK(a.grad().raw() == memory);
}

TEST_CASE("an op that is recorded in the wrong way") {
    const Variable x = leaf({1});
    const Variable y = record("op", {x}, vec({1}), [](const Tensor&, const Needs& needs) {
        (void)needs[1];
        return Tensors(1);
    });
    CHECK(error_of([&] { y.backward(); }) == "[needs] the op has 1 inputs: asked for 1");
    CHECK(has(error_of([&] { record("op", {x}, vec({1}), BackwardOfOne()); }), "[op] has no backward"));
    CHECK(has(error_of([&] { record("op", {x}, Tensors{vec({1})}, Backward()); }), "[op] has no backward"));
    CHECK(has(error_of([&] { record("op", {x}, Tensors{vec({1}), Tensor()}, Backward()); }), "is undefined"));
    CHECK(record("op", {x}, Tensors{}, Backward()).empty());
    // no input at all
    CHECK_FALSE(record("op", {}, vec({1}), BackwardOfOne()).requires_grad());
    // mixed operands, and a vector
    const Tensor constant = vec({1});
    CHECK(seen(x, constant).requires_grad());
    CHECK(record("op", {x, constant}, constant, [](const Tensor&, const Needs&) {
              return Tensors(2);
          }).requires_grad());
    CHECK(needs_grad(std::vector<Variable>{constant, x}));
    CHECK_FALSE(needs_grad(std::vector<Variable>{}));
}

TEST_CASE("a sweep that fails holds no memory") {
    const Variable x(Tensor::zeros({1000}, DType::f64), true), w(Tensor::zeros({1000}, DType::f64), true);
    const int64_t before = allocator_stats().live_blocks;
    {
        Variable y = sum(mul(mul(x, w), w));
        y.register_hook([](const Tensor&) -> Tensor { throw std::runtime_error("hook"); });
        CHECK_THROWS_WITH(scale(y, 2).backward(), "hook");
        CHECK_THROWS_WITH(grad({scale(y, 2)}, {x}), "hook");
        const Variable z = recompute(
            [&, calls = 0](const std::vector<Variable>& in) mutable {
                if (++calls == 2) throw std::runtime_error("second");
                return sum(mul(in[0], w));
            },
            {mul(x, w)});
        CHECK_THROWS_WITH(add(z, y.detach()).backward(), "second");
    }
    CHECK_FALSE(x.grad().defined());
    CHECK_FALSE(w.grad().defined());
    CHECK(allocator_stats().live_blocks == before);
}
