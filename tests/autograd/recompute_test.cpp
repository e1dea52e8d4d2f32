// recompute() against the same function called as it is.
#include "autograd/recompute.h"

#include <doctest/doctest.h>

#include <random>

#include "autograd/grad_mode.h"
#include "autograd/print.h"
#include "tests/autograd/toy.h"
#include "tests/support/check_error.h"
#include "tests/support/env.h"

using namespace demi;
using namespace demi::test;

using Values = std::vector<double>;
using Vars = std::vector<Variable>;

namespace {

// A function of a pool of variables, drawn once: each step adds a variable made of two; a step with a body
// hands two to a function of its own, which sees the rest of the pool as captures.
struct Step {
    int op;
    size_t a, b;
    std::vector<Step> body;
};

std::vector<Step> draw(std::mt19937& random, size_t pool, int depth) {
    std::vector<Step> steps;
    for (size_t i = 0; i < 6; ++i) {
        Step step{static_cast<int>(random() % (depth > 0 ? 5 : 3)), random() % pool, random() % pool, {}};
        if (step.op >= 3) step.body = draw(random, pool + 2, depth - 1);
        steps.push_back(std::move(step));
        ++pool;
    }
    return steps;
}

Variable run(const std::vector<Step>& steps, Vars pool, bool checkpoint,
             const std::function<void(Variable&)>& visit) {
    for (const Step& step : steps) {
        const Variable &a = pool[step.a], &b = pool[step.b];
        Variable y;
        if (step.op == 0) y = add(a, b);
        if (step.op == 1) y = scale(mul(a, b), 0.5);
        if (step.op == 2) y = scale(a, -1.5);
        if (step.op >= 3) {
            const auto body = [&body = step.body, pool, checkpoint](const Vars& in) {
                Vars all = pool;
                all.insert(all.end(), in.begin(), in.end());
                return run(body, all, checkpoint, [](Variable&) {});
            };
            y = checkpoint ? recompute(body, {a, b}) : body({a, b});
        }
        visit(y);
        pool.push_back(y);
    }
    return pool.back();
}

bool close(double a, double b) { return std::fabs(a - b) <= 1e-10 * (std::fabs(a) + std::fabs(b) + 1); }

Variable square(const Variable& x) { return mul(x, x); }

}  // namespace

TEST_CASE("recompute: random functions, nested and capturing: every gradient, every hook once, complete") {
    const unsigned count = quick() ? 100 : 1000;
    for (unsigned seed = 0; seed < count; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        const std::vector<Step> steps = draw(random, 4, 3);
        std::vector<Values> grads[2];
        std::vector<std::pair<int, double>> seen[2];
        bool needed[2];
        for (int checkpoint = 0; checkpoint < 2; ++checkpoint) {
            Vars leaves{leaf({0.5}), leaf({-0.75}), leaf({1.25}), Variable(vec({0.25}))};
            int place = 0;
            const auto watch = [&](Variable& v) {
                if (v.requires_grad())
                    v.register_hook([&, at = place](const Tensor& g) {
                        seen[checkpoint].emplace_back(at, g.item());
                        if (at % 3 == 0) fill(g, g.item() * 0.5);
                    });
                ++place;
            };
            for (Variable& v : leaves) watch(v);
            const Variable y = run(steps, leaves, checkpoint == 1, watch);
            needed[checkpoint] = y.requires_grad();
            if (y.requires_grad()) y.backward();
            for (const Variable& v : leaves) grads[checkpoint].push_back(grad(v));
        }
        REQUIRE(needed[0] == needed[1]);
        REQUIRE(seen[0].size() == seen[1].size());
        for (size_t i = 0; i < seen[0].size(); ++i) {
            CHECK(seen[0][i].first == seen[1][i].first);
            CHECK(close(seen[0][i].second, seen[1][i].second));
        }
        for (size_t i = 0; i < grads[0].size(); ++i) {
            REQUIRE(grads[0][i].size() == grads[1][i].size());
            for (size_t k = 0; k < grads[0][i].size(); ++k) CHECK(close(grads[0][i][k], grads[1][i][k]));
        }
    }
}

TEST_CASE("recompute: a hook sees what comes from inside and outside in one piece") {
    Variable x = leaf({1}), w = leaf({3});
    std::vector<double> seen;
    w.register_hook([&](const Tensor& g) { seen.push_back(g.item()); });
    const auto times_w = [w](const Vars& in) { return mul(in[0], w); };
    add(scale(recompute(times_w, {x}), 3), scale(mul(x, w), 3)).backward();
    CHECK(seen == Values{6});
    add(recompute(times_w, {x}), recompute(times_w, {scale(x, 2)})).backward();  // two segments
    CHECK(seen == Values{6, 3});
    const auto twice = [&](const Vars& in) { return recompute(times_w, {recompute(times_w, in)}); };
    add(recompute(twice, {x}), w).backward();  // x w^2 + w
    CHECK(seen == Values{6, 3, 7});
    recompute([w](const Vars& in) { return mul(in[0], w); }, {w}).backward();  // handed in and captured
    CHECK(seen == Values{6, 3, 7, 6});
    // the result of an op, captured and used outside
    Variable h = square(w);
    h.register_hook([&](const Tensor& g) { seen.push_back(g.item()); });
    add(recompute([h](const Vars& in) { return mul(in[0], h); }, {x}), h).backward();
    CHECK(seen == Values{6, 3, 7, 6, 2, 12});
    const Variable p = leaf({1, 2});
    const std::vector<Variable> parts = split(p, 1);  // two outputs of one op
    recompute([&](const Vars& in) { return mul(mul(in[0], parts[0]), parts[1]); }, {leaf({3})}).backward();
    CHECK(grad(p) == Values{6, 3});
    // hooks within the function run in the second pass, on the function's own variables
    int inner = 0;
    recompute(
        [&](const Vars& in) {
            Variable own = in[0], y = scale(own, 2);
            own.register_hook([&](const Tensor&) { ++inner; });
            y.register_hook([&](const Tensor&) { ++inner; });
            return y;
        },
        {x})
        .backward();
    CHECK(inner == 2);
    scale(x, 1).backward();
    CHECK(inner == 2);
}

TEST_CASE("recompute: the result requires a gradient where the function's does") {
    const Variable x = leaf({1}), constant(vec({2}));
    const auto needs = [](const std::function<Variable(const Vars&)>& fn, const Vars& inputs) {
        return recompute(fn, inputs).requires_grad();
    };
    CHECK_FALSE(needs([](const Vars& in) { return scale(in[0], 2); }, {constant}));
    CHECK_FALSE(needs([&](const Vars&) { return scale(constant, 2); }, {x}));
    CHECK_FALSE(needs([](const Vars& in) { return in[0].detach(); }, {x}));
    CHECK_FALSE(needs([](const Vars& in) { return scale(in[0].detach(), 2); }, {x}));
    CHECK_FALSE(needs([](const Vars& in) { return Variable(in[0].value().to(DType::i64)); }, {x}));
    CHECK_FALSE(needs(
        [](const Vars& in) {
            const NoGrad off;
            return scale(in[0], 2);
        },
        {x}));
    CHECK_FALSE(
        needs([&](const Vars&) { return recompute([&](const Vars&) { return constant; }, {}); }, {x}));
    CHECK(needs([&](const Vars&) { return x; }, {}));
    CHECK(needs([](const Vars& in) { return in[0]; }, {x}));
    recompute([&](const Vars&) { return x; }, {constant}).backward();
    recompute([](const Vars& in) { return in[0]; }, {x}).backward();
    CHECK(grad(x) == Values{2});
    CHECK(graph_text(recompute([&](const Vars& in) { return mul(in[0], x); }, {constant})) ==
          "2 recompute f64 (1,) <- . 1\n1 leaf f64 (1,)\n");
    CHECK_FALSE(recompute([](const Vars&) { return Variable(); }, {x}).defined());
    CHECK(error_of([&] { recompute({}, {x}); }) == "[recompute] the function is empty");
}

TEST_CASE("recompute: what it reads and what changed in between is refused") {
    const std::string told =
        "[recompute] backward: [saved] a tensor that the recomputed function reads was modified in place or "
        "replaced: f64 (1,) on cpu";
    const Variable x = leaf({1});
    Variable w = leaf({3}), mask(vec({5}));
    const auto times = [&](const Vars& in) { return mul(in[0], w); };
    const auto plus = [&](const Vars& in) { return square(add(in[0], mask)); };  // add saves nothing
    const auto only_saved = [&](const Vars& in) {
        return record("saving", {in[0]}, in[0].value(),
                      [m = Saved(mask)](const Tensor& dy, const Needs&) { return Tensors{dy}; });
    };
    const auto nested = [&](const Vars& in) { return recompute(times, in); };
    const auto constant = [&](const Vars& in) { return mul(in[0], scale(mask, 2)); };
    for (const std::function<Variable(const Vars&)>& fn :
         std::vector<std::function<Variable(const Vars&)>>{times, plus, only_saved, nested, constant}) {
        const Variable y = recompute(fn, {x}), z = recompute(fn, {x});
        z.backward();  // nothing changed
        fill(Tensor(w.value()), 7);
        fill(Tensor(mask.value()), 7);
        CHECK(error_of([&] { y.backward(); }) == told);
    }
    for (Variable* captured : {&w, &mask}) {
        const Variable y =
            recompute(captured == &w ? std::function<Variable(const Vars&)>(times) : plus, {x});
        const Variable before = *captured;
        *captured = Variable(vec({7}), captured == &w);
        CHECK(error_of([&] { y.backward(); }) == told);
        *captured = before;
        y.backward();  // as it was: nothing has happened
    }
    // a tensor that the function makes once and keeps is no change
    Tensor kept;
    const Variable y = recompute(
        [&](const Vars& in) {
            if (!kept.defined()) kept = vec({2});
            return mul(in[0], Variable(kept));
        },
        {x});
    Variable(x).zero_grad();
    y.backward();
    CHECK(grad(x) == Values{2});
}

TEST_CASE("recompute: a function that does something else the second time is refused") {
    Variable x = leaf({1, 2}), w = leaf({3, 4});
    int calls = 0;
    const auto first = [&] { return calls++ % 2 == 0; };
    const Variable shape = recompute([&](const Vars& in) { return first() ? in[0] : sum(in[0]); }, {x});
    CHECK(
        error_of([&] {
            shape.backward(vec({1, 1}));
        }) ==
        "[recompute] the function must do the same twice: its gradient is f64 (2,) on cpu, its second result "
        "f64 () on cpu");
    calls = 0;
    const Variable lost =
        recompute([&](const Vars& in) { return first() ? mul(in[0], w) : mul(in[0], w.detach()); }, {x});
    CHECK(
        error_of([&] {
            lost.backward(vec({1, 1}));
        }) ==
        "[recompute] the function must do the same twice: a variable that it used has no part in its second "
        "result");
    CHECK_FALSE(x.grad().defined());
    CHECK_FALSE(w.grad().defined());
}

TEST_CASE("recompute: a leaf that the function makes is refused, not forgotten") {
    const Variable x = leaf({1, 2});
    const char* refusal =
        "[recompute] the function makes a leaf that requires a gradient, which would be lost with the first "
        "result: make it outside: got f64 (2,)";
    const auto made = [](const Vars& in) { return mul(in[0], leaf({3, 4})); };
    CHECK(error_of([&] { recompute(made, {x}); }) == refusal);
    CHECK(error_of([&] { recompute([&](const Vars& in) { return recompute(made, {in[0]}); }, {x}); }) ==
          refusal);
    CHECK(error_of([&] { recompute([](const Vars&) { return leaf({3, 4}); }, {x}); }) == refusal);
    CHECK(error_of([&] {
              recompute([](const Vars& in) { return mul(in[0], Variable(in[0]).requires_grad_()); },
                        {x.detach()});
          }) == refusal);
    // One without a part in the result is the function's own affair.
    Variable y = recompute([](const Vars& in) { return leaf({3, 4}), in[0]; }, {x});
    y.backward(vec({5, 6}));
    CHECK(x.grad().to_vector<double>() == std::vector<double>{5, 6});
}

TEST_CASE("recompute: one generator through nested functions; NoGrad holds within, too") {
    Generator g{5, 0};
    const Variable x = leaf({1, 1, 1, 1});
    std::vector<Values> masks;
    const auto noisy = [&](const Vars& in) {
        Tensor mask = Tensor::empty({4}, DType::f64);
        uniform(mask, g);
        masks.push_back(values(mask));
        return mul(in[0], Variable(mask));
    };
    const auto outer = [&](const Vars& in) { return noisy({recompute(noisy, {noisy(in)}, &g)}); };
    const Variable y = recompute(outer, {x}, &g);
    const Generator after = g;
    sum(y).backward();
    CHECK(g == after);
    REQUIRE(masks.size() == 7);  // three, the same three, the inner one again
    for (size_t i = 0; i < 3; ++i) CHECK(masks[i] == masks[3 + i]);
    CHECK(masks[6] == masks[1]);
    for (size_t i = 0; i < 4; ++i) CHECK(close(grad(x)[i], masks[0][i] * masks[1][i] * masks[2][i]));

    const Variable z = leaf({3});
    recompute(
        [](const Vars& in) {
            Variable still;
            {
                const NoGrad off;
                still = mul(in[0], in[0]);
            }
            return mul(in[0], still);
        },
        {z})
        .backward();
    CHECK(grad(z) == Values{9});  // not 27
}
