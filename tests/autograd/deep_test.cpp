// Depth, recomputation and threads.
#include <doctest/doctest.h>

#include <pthread.h>

#include <chrono>
#include <functional>
#include <thread>

#include "autograd/grad_mode.h"
#include "autograd/print.h"
#include "autograd/recompute.h"
#include "runtime/allocator.h"
#include "tests/autograd/toy.h"
#include "tests/support/check_error.h"
#include "tests/support/env.h"

using namespace demi;
using namespace demi::test;

using Values = std::vector<double>;

namespace {

// Runs fn on a thread with a stack of 256 KB; recursion over a deep graph would overflow it.
void on_small_stack(std::function<void()> fn) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    REQUIRE(pthread_attr_setstacksize(&attributes, 256 * 1024) == 0);
    pthread_t thread;
    const auto call = [](void* f) -> void* {
        (*static_cast<std::function<void()>*>(f))();
        return nullptr;
    };
    REQUIRE(pthread_create(&thread, &attributes, call, &fn) == 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
}

Variable chain(const Variable& x, int length) {
    Variable y = x;
    for (int i = 0; i < length; ++i) y = pass(y);
    return y;
}

double seconds(const std::function<void()>& fn) {
    const auto start = std::chrono::steady_clock::now();
    fn();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TEST_CASE("a chain of 1,000,000 nodes goes back and dies on a stack of 256 KB") {
    const int length = quick() ? 100000 : 1000000;
    const int64_t before = allocator_stats().live_blocks;
    Values result;
    on_small_stack([&] {
        const Variable x = leaf({1});
        chain(x, length).backward(vec({3}));  // freed as the sweep goes
        result = grad(x);
        chain(x, length);  // freed without a backward
        const Variable y = chain(x, length);
        y.backward(vec({1}), {.retain_graph = true});
        result.push_back(grad(x)[0]);
        CHECK(graph_size(y) == length + 1);
    });
    CHECK(result == Values{3, 4});
    CHECK(allocator_stats().live_blocks == before);
}

TEST_CASE("a ladder of diamonds, 10,000 deep, takes linear time and dies on a small stack") {
    const auto ladder = [](int depth) {
        const Variable x = leaf({1});
        Variable a = x, b = x;
        for (int i = 0; i < depth; ++i) {
            const Variable c = scale(add(a, b), 0.5);
            a = pass(c);
            b = pass(c);
        }
        add(a, b).backward();
        return grad(x);
    };
    const int depth = quick() ? 2000 : 10000;
    double small = 0, large = 0;
    on_small_stack([&] {
        CHECK(ladder(100) == Values{2});
        small = seconds([&] { ladder(depth / 10); });
        large = seconds([&] { CHECK(ladder(depth) == Values{2}); });
    });
    CHECK(large < 100 * small + 1);  // 10 when linear, 100 when quadratic; the machine may be busy
}

TEST_CASE("a sweep that fails in the middle frees what it can, and says where") {
    const Variable x = leaf({1});
    const int64_t before = allocator_stats().live_blocks;
    {
        const Variable bad =
            record("bad", {chain(x, 1000)}, vec({1}),
                   [](const Tensor&, const Needs&) -> Tensors { fail("inner", "no gradient today"); });
        const Variable y = chain(bad, 1000);
        CHECK(error_of([&] { y.backward(); }) == "[inner] no gradient today");
        CHECK(has(error_of([&] { y.backward(); }), "already freed"));
    }
    CHECK(allocator_stats().live_blocks == before);
}

TEST_CASE("recompute: same values and gradients, parameters included, and less memory held") {
    const int64_t n = 1000;
    const auto run = [&](bool checkpoint, Values& dx, Values& dw, int64_t& held) {
        const Variable x(Tensor::full({n}, 0.5, DType::f64), true),
            w(Tensor::full({n}, 1.1, DType::f64), true);
        const auto block = [w](const std::vector<Variable>& in) {
            Variable y = in[0];
            for (int i = 0; i < 10; ++i) y = mul(mul(y, w), scale(add(y, w), 0.25));
            return y;
        };
        const int64_t before = allocator_stats().live_bytes;
        Variable y = x;
        for (int i = 0; i < 3; ++i) y = scale(checkpoint ? recompute(block, {y}) : block({y}), 1e-3);
        held = allocator_stats().live_bytes - before;
        const Variable loss = sum(y);
        loss.backward();
        dx = grad(x);
        dw = grad(w);
        return loss.item();
    };
    Values dx, dw, dx2, dw2;
    int64_t held = 0, held2 = 0;
    const double plain = run(false, dx, dw, held), again = run(true, dx2, dw2, held2);
    CHECK(plain == again);
    CHECK(dx == dx2);
    // each block sums its own share of dw first: equal up to rounding
    double worst = 0;
    for (size_t i = 0; i < dw.size(); ++i)
        worst = std::fmax(worst, std::fabs(dw2[i] - dw[i]) / std::fabs(dw[i]));
    CHECK(worst < 1e-12);
    CHECK(held2 * 5 < held);
}

TEST_CASE("recompute: random numbers are replayed, inputs that need nothing stay so") {
    Generator g{5, 0};
    const Variable x = leaf({1, 1, 1, 1}), frozen(vec({2, 2, 2, 2}));
    std::vector<Values> masks;
    const auto noisy = [&](const std::vector<Variable>& in) {
        Tensor mask = Tensor::empty({4}, DType::f64);
        uniform(mask, g);
        masks.push_back(values(mask));
        return mul(mul(in[0], in[1]), Variable(mask));
    };
    const Variable y = recompute(noisy, {x, frozen}, &g);
    const Generator after = g;
    const float drawn = g.next_uniform();
    sum(y).backward();
    REQUIRE(masks.size() == 2);
    CHECK(masks[0] == masks[1]);
    for (size_t i = 0; i < 4; ++i) CHECK(grad(x)[i] == 2 * masks[0][i]);
    CHECK_FALSE(frozen.grad().defined());
    Generator check = after;
    CHECK(check.next_uniform() == drawn);
    CHECK(g == check);  // the replay left the generator where it was

    int calls = 0;
    const auto counted = [&](const std::vector<Variable>& in) {
        ++calls;
        return scale(in[0], 2);
    };
    {
        const NoGrad off;
        CHECK_FALSE(recompute(counted, {x}).requires_grad());
    }
    const Variable z = recompute(counted, {x});
    z.backward(vec({1, 1, 1, 1}), {.retain_graph = true});
    z.backward(vec({1, 1, 1, 1}));
    CHECK(calls == 4);
    const Variable stale = recompute(counted, {x});
    fill(Tensor(x.value()), 3);
    CHECK(has(error_of([&] { stale.backward(vec({1, 1, 1, 1})); }), "[recompute] backward: [saved]"));
    bool second = false;
    const Variable failing = recompute(
        [&](const std::vector<Variable>& in) {
            (void)g.next_uniform();
            if (second) fail("block", "fails the second time");
            return scale(in[0], 1);
        },
        {x}, &g);
    second = true;
    const Generator then = g;
    CHECK(error_of([&] { failing.backward(vec({1, 1, 1, 1})); }) == "[block] fails the second time");
    CHECK(g == then);
}

TEST_CASE("recompute within recompute") {
    const Variable x = leaf({1.5}), w = leaf({2});
    const auto inner = [w](const std::vector<Variable>& in) { return mul(in[0], w); };
    const auto outer = [&](const std::vector<Variable>& in) { return mul(recompute(inner, {in[0]}), in[0]); };
    recompute(outer, {x}).backward();
    CHECK(grad(x) == Values{6});  // w x^2
    CHECK(grad(w) == Values{2.25});
}

TEST_CASE(
    "a chain of recomputed functions that capture each other's results runs and dies on a small stack") {
    const int length = quick() ? 2000 : 20000;
    const int64_t before = allocator_stats().live_blocks;
    Values result;
    on_small_stack([&] {
        const Variable x = leaf({1});
        const auto made = [&] {
            Variable y = x;
            for (int i = 0; i < length; ++i)
                y = recompute([y](const std::vector<Variable>&) { return pass(y); }, {});
            return y;
        };
        made().backward(vec({3}));
        result = grad(x);
        made();
    });
    CHECK(result == Values{3});
    CHECK(allocator_stats().live_blocks == before);
}

TEST_CASE("two models in two threads give the bits of each alone") {
    const auto train = [](double start) {
        Values history;
        Variable w = leaf({start, start + 1});
        for (int step = 0; step < (quick() ? 20 : 100); ++step) {
            const Variable loss = sum(mul(mul(w, w), scale(add(w, w), 0.25)));
            loss.backward();
            history.push_back(loss.item());
            w = Variable(map(w.value(), w.grad(), [](double v, double d) { return v - 0.01 * d; }), true);
        }
        return history;
    };
    const Values alone1 = train(0.5), alone2 = train(0.75);
    Values together1, together2;
    bool recorded = true;
    std::thread first([&] { together1 = train(0.5); });
    std::thread second([&] { together2 = train(0.75); });
    std::thread third([&] {
        const NoGrad off;  // of this thread only
        recorded = scale(leaf({1}), 2).requires_grad();
    });
    first.join();
    second.join();
    CHECK(together1 == alone1);
    CHECK(together2 == alone2);
    third.join();
    CHECK_FALSE(recorded);
    CHECK(grad_enabled());
}
