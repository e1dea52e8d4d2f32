#include "ops/dropout/drop_path.h"

#include <doctest/doctest.h>

#include "tests/support/op_case.h"

namespace demi::test {

TEST_CASE("drop_path") {
    check_op({
        .op = "drop_path",
        .shapes = {{{1}}, {{0, 3}}, {{9}}, {{3, 5, 7}}, {{300, 257}}, {{3, 40000}}},
        .fn =
            [](const Vars& x) {
                Generator generator{5, 3};
                return drop_path(x[0], 0.4, generator);
            },
        .reference = [](const Arrays& x) -> Arrays {
            Array y(x[0].shape);
            for (int64_t i = 0; i < y.numel(); ++i) {
                const int64_t sample = i / (y.numel() / y.shape[0]);
                if (static_cast<double>(to_uniform(random_word(5, 3, static_cast<uint64_t>(sample)))) >= 0.4)
                    y[i] = x[0][i] / 0.6;
            }
            return {y};
        },
    });
}

TEST_CASE("drop_path at the ends") {
    Generator generator{9};
    const Variable x(Tensor::full({3, 2}, 1), true);
    CHECK(drop_path(x, 0, generator).node() == x.node());
    CHECK(drop_path(x, 0.5, generator, false).node() == x.node());
    CHECK(drop_path(x, 1, generator).value().to_vector<double>() == std::vector<double>(6, 0.0));
    CHECK_THROWS_WITH_AS(drop_path(x, -1, generator), "[drop_path] p must be in [0, 1]: got -1", Error);
    CHECK_THROWS_AS(drop_path(Tensor::zeros({}), 0.5, generator), Error);
}

}  // namespace demi::test
