// grad(outputs, inputs): gradients that come back instead of landing in leaves.
#include <doctest/doctest.h>

#include "autograd/recompute.h"
#include "tests/autograd/toy.h"
#include "tests/support/check_error.h"

using namespace demi;
using namespace demi::test;

using Values = std::vector<double>;

namespace {

std::vector<Values> all(const Tensors& tensors) {
    std::vector<Values> out;
    for (const Tensor& t : tensors) out.push_back(t.defined() ? values(t) : Values{});
    return out;
}

}  // namespace

TEST_CASE("grad gives what backward would, for leaves and results of ops, and touches no leaf") {
    const Variable x = leaf({2, 3}), w = leaf({5, 7}), h = mul(x, w), y = sum(mul(h, x));  // x^2 w
    CHECK(all(grad({y}, {x, w, h, y}, {}, {.retain_graph = true})) ==
          std::vector<Values>{{20, 42}, {4, 9}, {2, 3}, {1}});
    CHECK(all(grad({y}, {h, h}, {vec({10}).reshape({})}, {.retain_graph = true})) ==
          std::vector<Values>{{20, 30}, {20, 30}});
    CHECK(all(grad({y, h}, {w}, {Tensor(), vec({100, 1})}, {.retain_graph = true})) ==
          std::vector<Values>{{204, 12}});
    CHECK(all(grad({y, y}, {w}, {}, {.retain_graph = true})) == std::vector<Values>{{8, 18}});
    CHECK(grad({y}, {}).empty());
    CHECK_FALSE(x.grad().defined());
    CHECK_FALSE(w.grad().defined());
    y.backward();  // whole: each grad() so far retained it, or walked nothing
    CHECK(grad(x) == Values{20, 42});
}

TEST_CASE("grad walks, and frees, only what lies between") {
    std::string walked;
    const auto step = [&](char name, const std::vector<Variable>& in) {
        return record("step", in, in[0].value(),
                      [&walked, name, n = in.size()](const Tensor& dy, const Needs& needs) {
                          walked += name;
                          Tensors out(n);
                          for (size_t i = 0; i < n; ++i)
                              if (needs[i])
                                  out[i] = dy;
                              else
                                  walked += '-';
                          return out;
                      });
    };
    const Variable x = leaf({1}), w = leaf({1}), a = step('a', {x}), b = step('b', {a}), c = step('c', {w}),
                   d = step('d', {b, c});
    CHECK(all(grad({d}, {a}, {}, {.retain_graph = true})) == std::vector<Values>{{1}});
    CHECK(walked == "d-b");
    walked.clear();
    CHECK(all(grad({d}, {w})) == std::vector<Values>{{1}});
    CHECK(walked == "d-c");
    walked.clear();
    b.backward();  // was not on the way
    CHECK(walked == "ba");
    CHECK(has(error_of([&] { grad({d}, {w}); }), "[step] grad: this part of the graph was already freed"));
    // beyond the inputs nothing matters
    const Variable h = scale(x, 2);
    h.backward();
    CHECK(all(grad({scale(h, 3)}, {h})) == std::vector<Values>{{3}});
    // what is asked for ends the way while other ways go on to older leaves
    const Variable older = scale(w, 2), newer = scale(x, 2);
    CHECK(all(grad({add(newer, older)}, {newer, w})) == std::vector<Values>{{1}, {2}});
    // one output of an op is asked for, and not what it was made of
    std::vector<bool> got;
    const std::vector<Variable> parts = split(leaf({1, 2}), 1, &got);
    CHECK(all(grad({sum(parts[0]), sum(parts[1])}, {parts[1]})) == std::vector<Values>{{1}});
    CHECK(got.empty());
}

TEST_CASE("grad: inputs that are not used, and arguments that do not fit") {
    const Variable x = leaf({1, 2}), w = leaf({3}), y = sum(x), constant(vec({1}));
    CHECK(error_of([&] {
              grad({y}, {x, w});
          }) == "[grad] input 1, f64 (1,) on cpu, is not used by the outputs; allow_unused gives an "
                "undefined tensor for "
                "it");
    CHECK(all(grad({y}, {w, x}, {}, {.retain_graph = true, .allow_unused = true})) ==
          std::vector<Values>{{}, {1, 1}});
    CHECK(all(grad({y}, {w}, {}, {.allow_unused = true})) == std::vector<Values>{{}});
    const Variable stopped =
        record("stop", {x}, vec({1}), [](const Tensor&, const Needs&) { return Tensors(1); });
    CHECK(has(error_of([&] { grad({stopped}, {x}, {}, {.retain_graph = true}); }), "is not used"));
    CHECK(all(grad({stopped}, {x}, {}, {.allow_unused = true})) == std::vector<Values>{{}});

    CHECK(has(error_of([&] { grad({constant}, {x}); }), "[grad] needs a variable that requires a gradient"));
    CHECK(has(error_of([&] { grad({Variable()}, {x}); }), "got an undefined tensor"));
    CHECK(has(error_of([&] { grad({y}, {constant}); }), "[grad] input 0 must require a gradient"));
    CHECK(has(error_of([&] { grad({y}, {Variable()}); }), "[grad] input 0 must require a gradient"));
    CHECK(has(error_of([&] { grad({}, {x}); }), "is not used by the outputs"));
    CHECK(
        has(error_of([&] { grad({x}, {x}); }), "[grad] without a gradient the value must hold one element"));
    CHECK(has(error_of([&] { grad({y}, {x}, {vec({1})}); }), "[grad] the gradient must match the value"));
    CHECK(has(error_of([&] { grad({y}, {x}, {Tensor::zeros({})}); }), "got f32 () on cpu"));
    CHECK(error_of([&] {
              grad({y}, {x}, {Tensor(), Tensor()});
          }) == "[grad] needs no gradients of outputs or one for each of the 1: got 2");
    CHECK(all(grad({y}, {x})) == std::vector<Values>{{1, 1}});  // all those left the graph whole
    CHECK(all(grad({x}, {x}, {vec({4, 5})})) == std::vector<Values>{{4, 5}});
}

TEST_CASE("grad: what comes back is memory of its own") {
    const Variable a = leaf({1, 2}), b = leaf({3, 4});
    const Tensor seed = vec({1, 1});
    const Tensors got = grad({add(a, b)}, {a, b, a}, {seed});
    for (const Tensor& t : got) CHECK((t.buffer().use_count() == 1 && t.buffer() != seed.buffer()));
    CHECK(grad({sum(a)}, {a})[0].is_contiguous());
}

TEST_CASE("grad: hooks of all values whose gradient is computed run, the inputs' own included") {
    Variable x = leaf({2}), w = leaf({3}), h = mul(x, w), y = scale(h, 2);
    std::string called;
    x.register_hook([&](const Tensor& g) {
        called += 'x';
        return map(g, [](double v) { return v * 100; });
    });
    h.register_hook([&](const Tensor& g) {
        called += 'h';
        return map(g, [](double v) { return v * 10; });
    });
    w.register_hook([&](const Tensor&) { called += 'w'; });
    CHECK(all(grad({y}, {x}, {}, {.retain_graph = true})) == std::vector<Values>{{6000}});
    CHECK(called == "hx");
    CHECK(all(grad({y}, {h}, {}, {.retain_graph = true})) == std::vector<Values>{{20}});
    CHECK(called == "hxh");
}

TEST_CASE("grad through recompute, to what it captures and to what it is given") {
    const Variable x = leaf({2}), w = leaf({3}), v = leaf({5}), h = scale(x, 1);
    const auto fn = [&](const std::vector<Variable>& in) { return mul(mul(in[0], w), v); };
    const Variable y = add(recompute(fn, {h}), w);
    CHECK(all(grad({y}, {w, h}, {}, {.retain_graph = true})) == std::vector<Values>{{11}, {15}});
    CHECK(all(grad({y}, {x}, {}, {.retain_graph = true})) == std::vector<Values>{{15}});
    CHECK(all(grad({y}, {v})) == std::vector<Values>{{6}});
    for (const Variable& leaf : {x, w, v}) CHECK_FALSE(leaf.grad().defined());
}

TEST_CASE("grad through recompute records what the first pass recorded") {
    const Variable x = leaf({1, 2}), w = leaf({3, 4});
    int calls = 0;
    const Variable y = recompute(
        [&](const std::vector<Variable>& in) {
            Variable square = mul(in[1], in[1]);
            square.register_hook([&](const Tensor&) { ++calls; });
            return mul(in[0], square);
        },
        {x, w});
    const Tensor dx = grad({y}, {x}, {vec({1, 10})}, {.retain_graph = true})[0];
    CHECK(dx.to_vector<double>() == std::vector<double>{9, 160});
    CHECK(calls == 0);
    const Tensor dw = grad({y}, {w}, {vec({1, 10})})[0];
    CHECK(dw.to_vector<double>() == std::vector<double>{6, 160});
    CHECK(calls == 1);
}
