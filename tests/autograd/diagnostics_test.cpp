// What helps to find a mistake: anomaly detection, the graph as text, the profile of a sweep.
#include <doctest/doctest.h>

#include <sstream>

#include "autograd/grad_mode.h"
#include "autograd/print.h"
#include "runtime/profile.h"
#include "tests/autograd/toy.h"
#include "tests/support/check_error.h"

using namespace demi;
using namespace demi::test;

TEST_CASE("anomaly detection names the op whose forward or backward made the first NaN or infinity") {
    const Variable x = leaf({0, 1});
    const auto root = [](const Variable& a) {  // infinite slope at 0
        return record("root", {a}, map(a.value(), [](double v) { return std::sqrt(v); }),
                      [s = Saved(a)](const Tensor& dy, const Needs&) {
                          return Tensors{
                              map(dy, s.get(), [](double d, double v) { return d / (2 * std::sqrt(v)); })};
                      });
    };
    sum(root(x)).backward();
    CHECK(std::isinf(grad(x)[0]));
    CHECK_FALSE(anomaly_detection());
    set_anomaly_detection(true);
    CHECK(error_of([&] { sum(scale(root(x), 2)).backward(); }) ==
          "[root] backward made a NaN or infinity: gradient of input 0, f64 (2,) on cpu");
    CHECK(error_of([&] { sum(scale(scale(x, INFINITY), 1)); }) ==
          "[scale] forward made a NaN or infinity: output f64 (2,) on cpu");
    const NoGrad off;
    CHECK(has(error_of([&] { scale(x, INFINITY); }), "[scale] forward made"));
    set_anomaly_detection(false);
    CHECK(error_of([&] { scale(x, INFINITY); }) == "");
}

TEST_CASE("the graph as text, the same for the same graph") {
    const auto text = [] {
        const Variable x(Tensor::zeros({2, 3}), true), w(Tensor::zeros({1}, DType::f16), true);
        (void)leaf({1});  // a stranger in between
        const Variable y = record("mul", {x, w, Variable(Tensor::zeros({4}))}, Tensor::zeros({2, 3}),
                                  [](const Tensor&, const Needs&) { return Tensors(3); });
        return graph_text(
            record("sum", {y}, Tensor::zeros({}), [](const Tensor&, const Needs&) { return Tensors(1); }));
    };
    CHECK(text() == "4 sum f32 () <- 3\n3 mul f32 (2, 3) <- 1 2 .\n2 leaf f16 (1,)\n1 leaf f32 (2, 3)\n");
    CHECK(text() == text());
    CHECK(graph_text(Variable(vec({1}))) == "no graph\n");
    const Variable x = leaf({1}), y = scale(x, 1);
    CHECK(graph_size(y) == 2);
    y.backward();
    CHECK(graph_text(y) == "1 scale f64 (1,) (freed)\n");
}

TEST_CASE("a Variable prints its values and whether it requires a gradient; messages only what it is") {
    const auto text = [](const Variable& v) {
        std::ostringstream out;
        out << v;
        return out.str();
    };
    const Variable x = leaf({1, 2});
    CHECK(text(x) == "tensor([1., 2.], f64 (2,) on cpu, requires_grad)");
    CHECK(text(scale(x, 3)) == "tensor([3., 6.], f64 (2,) on cpu, requires_grad, made by scale)");
    CHECK(text(x.detach()) == "tensor([1., 2.], f64 (2,) on cpu)");
    CHECK(text(Variable()) == "tensor(undefined)");
    CHECK(error_of([&] { fail("op", "got ", x, " and ", Variable()); }) ==
          "[op] got f64 (2,) on cpu, requires_grad and an undefined tensor");
}

TEST_CASE("a profile names each node's backward") {
    const Variable x = leaf({1}), y = sum(mul(x, x));
    start_profile();
    y.backward();
    const Profile profile = stop_profile();
    REQUIRE(profile.spans.size() == 2);
    CHECK(profile.spans[0].name == "sum backward");
    CHECK(profile.spans[1].name == "mul backward");
    CHECK(profile.spans[1].allocated_bytes > 0);
}
