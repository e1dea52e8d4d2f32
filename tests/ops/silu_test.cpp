#include "ops/silu/silu.h"

#include <doctest/doctest.h>

#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace demi::test {

TEST_CASE("silu") {
    check_op({
        .op = "silu",
        .shapes = {{{}}, {{1}}, {{0, 3}}, {{33}}, {{3, 5, 7}}, {{300, 257}}},
        .fn = [](const Vars& x) { return silu(x[0]); },
        .reference = [](const Arrays& x) -> Arrays {
            return {map(x[0], [](double a) { return a / (1 + std::exp(-a)); })};
        },
        .range = {-6, 6},
    });
    CHECK_THROWS_WITH_AS(silu(Tensor::zeros({2}, DType::i64)),
                         "[silu] x must be a floating-point tensor: got i64 (2,) on cpu", Error);
}

TEST_CASE("silu of the ends of the range") {
    const double inf = INFINITY;
    for (DType dtype : {DType::f32, DType::f64}) {
        const Tensor x = Tensor::from(std::vector<double>{-1e30, 1e30, inf, NAN, 0}, {5}).to(dtype);
        const std::vector<double> y = silu(x).value().to_vector<double>();
        CHECK(y[0] == 0);
        CHECK(y[1] == doctest::Approx(1e30));
        CHECK(y[2] == inf);
        CHECK(std::isnan(y[3]));
        CHECK(y[4] == 0);
    }
}

}  // namespace demi::test
