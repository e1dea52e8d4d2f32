#include "ops/neg/neg.h"

#include <doctest/doctest.h>

#include "tests/support/op_case.h"

namespace demi::test {

TEST_CASE("neg") {
    check_op({
        .op = "neg",
        .shapes = {{{}}, {{1}}, {{0, 3}}, {{33}}, {{3, 5, 7}}, {{300, 257}}},
        .fn = [](const Vars& x) { return neg(x[0]); },
        .reference = [](const Arrays& x) -> Arrays { return {map(x[0], [](double a) { return -a; })}; },
    });
    CHECK_THROWS_WITH_AS(neg(Tensor::zeros({2}, DType::i64)),
                         "[neg] needs a floating-point tensor: got i64 (2,) on cpu", Error);
}

}  // namespace demi::test
