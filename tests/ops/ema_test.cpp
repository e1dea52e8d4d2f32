#include "ops/optimizer/ema.h"

#include <doctest/doctest.h>

#include "runtime/random.h"
#include "tests/support/compare.h"

namespace demi::test {

TEST_CASE("ema follows a double oracle, for any dtypes") {
    const std::vector<Shape> shapes{{5}, {0}, {70001}, {3, 50}};
    for (DType to : {DType::f32, DType::f16, DType::bf16, DType::f64})
        for (DType from : {DType::f32, DType::f16, DType::bf16, DType::f64}) {
            if ((to == DType::f64) != (from == DType::f64)) continue;
            Generator generator{3};
            std::vector<Tensor> dst, src, want;
            for (const Shape& shape : shapes) {
                for (auto* list : {&dst, &src}) {
                    list->push_back(Tensor::empty(shape, list == &dst ? to : from));
                    normal(list->back(), generator);
                }
                std::vector<double> w = dst.back().to_vector<double>();
                const std::vector<double> s = src.back().to_vector<double>();
                for (size_t i = 0; i < w.size(); ++i) w[i] = 0.9 * w[i] + (1 - 0.9) * s[i];
                want.push_back(Tensor::from(w, shape));
            }
            ema(dst, src, 0.9);
            for (size_t i = 0; i < shapes.size(); ++i) CHECK(compare(dst[i], want[i], rounding_of(to)) == "");
        }
}

TEST_CASE("ema at the ends, and what it refuses") {
    const Tensor dst = Tensor::full({3}, 2), src = Tensor::full({3}, 5);
    ema({&dst, 1}, {&src, 1}, 1);
    CHECK(dst.to_vector<double>() == std::vector<double>(3, 2.0));
    ema({&dst, 1}, {&src, 1}, 0);
    CHECK(dst.to_vector<double>() == std::vector<double>(3, 5.0));
    CHECK_THROWS_WITH_AS(ema({&dst, 1}, {&src, 1}, 1.5), "[ema] momentum must be in [0, 1]: got 1.5", Error);
    CHECK_THROWS_WITH_AS(ema({&dst, 1}, {}, 0.5), "[ema] needs as many sources as destinations: got 0 and 1",
                         Error);
    const Tensor other = Tensor::zeros({4});
    CHECK_THROWS_AS(ema({&dst, 1}, {&other, 1}, 0.5), Error);
}

}  // namespace demi::test
