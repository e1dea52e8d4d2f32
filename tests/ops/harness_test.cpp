// The checks that all operators rely on: each must fail where it should.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/record.h"
#include "ops/elementwise/elementwise.h"
#include "tests/support/compare.h"
#include "tests/support/gradcheck.h"

namespace demi::test {
namespace {

// y = x^2 with a backward that is off by a factor.
Variable square_with(const Variable& x, double factor) {
    Tensor y = elementwise("square", ElementFn::square, {x.value()}, x.dtype());
    return record("square", {x}, y, [saved = Saved(x), factor](const Tensor& dy, const Needs&) -> Tensors {
        const Tensor dx = elementwise("square", ElementFn::square_grad, {dy, saved}, dy.dtype());
        return {elementwise("square", ElementFn::mul_scalar, {dx}, dy.dtype(), factor)};
    });
}

const Tensor kInput = Tensor::from(std::vector<double>{0.5, -1, 2}, {3});

}  // namespace

TEST_CASE("gradcheck passes a right backward and finds a wrong one") {
    CHECK(gradcheck([](const Vars& x) { return square_with(x[0], 1); }, {kInput}) == "");
    const std::string text = gradcheck([](const Vars& x) { return square_with(x[0], 1.0001); }, {kInput});
    CHECK(text.find("gradient of input 0 (3,), element") == 0);
    const std::string detached = gradcheck([](const Vars& x) { return x[0].detach(); }, {kInput});
    CHECK(detached == "the outputs do not depend on any input: nothing was recorded");
}

TEST_CASE("gradcheck sees an output whose gradient is lost") {
    const auto fn = [](const Vars& x) -> Vars { return {square_with(x[0], 1), square_with(x[0], 0)}; };
    CHECK(gradcheck(fn, {kInput}) != "");
    const auto only_both = [](const Vars& x) -> Vars {
        const Tensor v = x[0].value();
        return record("pair", {x[0]}, {v, v}, [](std::span<const Tensor> dy, const Needs&) -> Tensors {
            if (!dy[0].defined() || !dy[1].defined()) return {Tensor()};
            return {elementwise("pair", ElementFn::add, {dy[0], dy[1]}, dy[0].dtype())};
        });
    };
    CHECK(gradcheck(only_both, {kInput}).find("with output 0 alone: ") == 0);
}

TEST_CASE("compare names the worst element") {
    const Tensor want = Tensor::from(std::vector<float>{1, 2, 3, 4}, {2, 2});
    const Tensor got = Tensor::from(std::vector<float>{1, 2.5, 4, 4}, {2, 2});
    CHECK(compare(got, want, {0, 0.5}) == "");
    CHECK(compare(got, want, {0.1, 0}) ==
          "element (1, 0) of (2, 2): got 4, want 3, difference 1, allowed 0.1; 2 of 4 are off");
    CHECK(compare(got, want.view({4}), {1, 1}) != "");
    const double nan = std::nan(""), inf = HUGE_VAL;
    const Tensor odd = Tensor::from(std::vector<double>{nan, inf, -inf}, {3});
    CHECK(compare(odd, odd, {0, 0}) == "");
    for (double other : {1.0, nan, inf}) {
        const Tensor one = Tensor::full({1}, other), two = Tensor::full({1}, -inf);
        CHECK(compare(one, two, {1, 1}) != "");
        CHECK(compare(two, one, {1, 1}) != "");
    }
    CHECK(same_bits(got, want) != "");
    CHECK(same_bits(want, want.transpose(0, 1).contiguous().transpose(0, 1)) == "");
    CHECK(same_bits(Tensor::full({1}, 0.0), Tensor::full({1}, -0.0)) != "");
    CHECK(same_bits(want, want.to(DType::f64)) != "");
}

}  // namespace demi::test
