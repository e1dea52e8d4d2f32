// Two threads, graphs of their own, leaves in common.
#include <doctest/doctest.h>

#include <thread>

#include "autograd/recompute.h"
#include "tests/autograd/toy.h"
#include "tests/support/env.h"

using namespace demi;
using namespace demi::test;

using Values = std::vector<double>;

TEST_CASE("sweeps of several threads add into shared leaves, each contribution once") {
    const int threads = 4, steps = quick() ? 50 : 500;
    const int64_t n = 40000;  // several tiles
    Variable w(Tensor::full({n}, 2, DType::f64), true), x(Tensor::full({1}, 3, DType::f64), true);
    const auto work = [&] {
        for (int i = 0; i < steps; ++i) {
            pass(w).backward(Tensor::full({n}, 1, DType::f64));
            const Variable y = recompute([&](const std::vector<Variable>& in) { return mul(in[0], x); }, {x});
            y.backward();
            if (grad({mul(x, x)}, {x})[0].item() != 6) std::abort();
        }
    };
    std::vector<std::thread> running;
    for (int i = 0; i < threads; ++i) running.emplace_back(work);
    for (std::thread& thread : running) thread.join();
    CHECK(values(w.grad()) == Values(static_cast<size_t>(n), threads * steps));  // whole numbers: exact
    CHECK(grad(x) == Values{6.0 * threads * steps});
}

TEST_CASE("two threads sweep through the same ops, both retaining the graph") {
    const Variable x = leaf({3}), y = mul(x, mul(x, x));
    const auto work = [&] {
        for (int i = 0; i < 100; ++i) y.backward({}, {.retain_graph = true});
    };
    std::thread other(work);
    work();
    other.join();
    CHECK(grad(x) == Values{27 * 200});
}
