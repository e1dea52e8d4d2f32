#include "ops/swiglu/swiglu.h"

#include <doctest/doctest.h>

#include "tests/support/op_case.h"

namespace demi::test {

TEST_CASE("swiglu") {
    check_op({
        .op = "swiglu",
        .shapes = {{{2}}, {{0, 4}}, {{3, 0}}, {{5, 34}}, {{2, 3, 66}}, {{130, 514}}},
        .fn = [](const Vars& x) { return swiglu(x[0]); },
        .reference = [](const Arrays& x) -> Arrays {
            Shape shape = x[0].shape;
            const int64_t half = shape[shape.rank() - 1] /= 2;
            Array y(shape);
            for (int64_t i = 0; i < y.numel(); ++i) {
                const double a = x[0][i / half * 2 * half + i % half],
                             b = x[0][i / half * 2 * half + half + i % half];
                y[i] = a / (1 + std::exp(-a)) * b;
            }
            return {y};
        },
        .range = {-4, 4},
    });
    CHECK_THROWS_WITH_AS(swiglu(Tensor::zeros({2, 3})),
                         "[swiglu] x must have an even last size: got f32 (2, 3) on cpu", Error);
    CHECK_THROWS_AS(swiglu(Tensor::zeros({})), Error);
}

}  // namespace demi::test
