#include "ops/dropout/dropout.h"

#include <doctest/doctest.h>

#include "tests/support/op_case.h"

namespace demi::test {

TEST_CASE("dropout") {
    for (double p : {0.3, 0.75})
        check_op({
            .op = "dropout",
            .shapes = {{{}}, {{1}}, {{0, 3}}, {{33}}, {{3, 5, 7}}, {{300, 257}}},
            .fn =
                [=](const Vars& x) {
                    Generator generator{5, 11};
                    return dropout(x[0], p, generator);
                },
            .reference = [=](const Arrays& x) -> Arrays {
                Array y(x[0].shape);
                for (int64_t i = 0; i < y.numel(); ++i)
                    if (static_cast<double>(to_uniform(random_word(5, 11, static_cast<uint64_t>(i)))) >= p)
                        y[i] = x[0][i] / (1 - p);
                return {y};
            },
        });
}

TEST_CASE("dropout moves the generator and keeps the share that it says") {
    Generator generator{9};
    const Variable x(Tensor::full({100000}, 1), true);
    const Variable y = dropout(x, 0.2, generator);
    CHECK(generator.offset == 25000);
    double sum = 0;
    for (double v : y.value().to_vector<double>()) sum += v;
    CHECK(sum / 100000 == doctest::Approx(1).epsilon(0.01));
    CHECK(dropout(x, 0.2, generator).value().to_vector<float>() != y.value().to_vector<float>());
}

TEST_CASE("dropout at the ends") {
    Generator generator{9};
    const Variable x(Tensor::from(std::vector<float>{1, INFINITY, NAN}, {3}), true);
    CHECK(dropout(x, 0, generator).node() == x.node());
    CHECK(dropout(x, 0.5, generator, false).node() == x.node());
    CHECK(generator.offset == 0);
    const Variable y = dropout(x, 1, generator);
    CHECK(y.value().to_vector<double>() == std::vector<double>{0, 0, 0});
    y.backward(Tensor::full({3}, 1));
    CHECK(x.grad().to_vector<double>() == std::vector<double>{0, 0, 0});
    CHECK_THROWS_WITH_AS(dropout(x, 1.5, generator), "[dropout] p must be in [0, 1]: got 1.5", Error);
    CHECK_THROWS_AS(dropout(x, NAN, generator), Error);
}

}  // namespace demi::test
