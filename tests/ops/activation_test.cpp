// The functions that feed-forward layers use: gelu, relu, silu.
#include <doctest/doctest.h>

#include "ops/elementwise/functions.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/op_case.h"

namespace demi::test {
namespace {

struct Activation {
    std::string name;
    Variable (*fn)(const Variable&);
    double (*reference)(double);
    bool kink = false;  // at 0, where differences see no derivative
};

void check_values(const Activation& a) {
    check_op({
        .op = a.name,
        .shapes = {{{}}, {{1}}, {{0, 3}}, {{33}}, {{3, 5, 7}}, {{300, 257}}},
        .fn = [a](const Vars& x) { return a.fn(x[0]); },
        .reference = [a](const Arrays& x) -> Arrays { return {map(x[0], a.reference)}; },
        .range = {-6, 6},
        .prepare =
            [a](Arrays& x) {
                for (double& value : x[0].data)
                    if (a.kink && std::fabs(value) < 0.01) value = 0.5;
            },
    });
}

void check_ends(const Activation& a) {
    const double inf = INFINITY;
    for (DType dtype : {DType::f32, DType::f64}) {
        const Tensor x = Tensor::from(std::vector<double>{-1e30, 1e30, inf, NAN, 0}, {5}).to(dtype);
        const std::vector<double> y = a.fn(x).value().to_vector<double>();
        CHECK(y[0] == 0);
        CHECK(y[1] == doctest::Approx(1e30));
        CHECK(y[2] == inf);
        CHECK(std::isnan(y[3]));
        CHECK(y[4] == 0);
    }
}

void check_activation(const Activation& a) {
    check_values(a);
    check_ends(a);
    const std::string message = "[" + a.name + "] x must be a floating-point tensor: got i64 (2,) on cpu";
    CHECK_THROWS_WITH_AS(a.fn(Tensor::zeros({2}, DType::i64)), message.c_str(), Error);
}

}  // namespace

TEST_CASE("gelu") {
    check_activation({"gelu", gelu, [](double a) { return a * 0.5 * std::erfc(-a / std::sqrt(2.0)); }});
}

TEST_CASE("silu") {
    check_activation({"silu", silu, [](double a) { return a / (1 + std::exp(-a)); }});
}

TEST_CASE("relu") {
    check_activation({"relu", relu, [](double a) { return a > 0 ? a : 0; }, true});
    // An infinite gradient stops where the function is flat.
    for (const DType dtype : {DType::f16, DType::bf16, DType::f32, DType::f64}) {
        const Variable x(Tensor::from(std::vector<float>{-1, 0, 2, -0.0f}, {4}).to(dtype).to(test_device()),
                         true);
        relu(x).backward(Tensor::full({4}, INFINITY, dtype, test_device()));
        CHECK(x.grad().to_vector<double>() == std::vector<double>{0, 0, static_cast<double>(INFINITY), 0});
    }
}

}  // namespace demi::test
