#include "ops/optimizer/sgd.h"

#include <doctest/doctest.h>

#include "runtime/random.h"
#include "tests/support/compare.h"

namespace demi::test {

TEST_CASE("sgd follows a double oracle") {
    const Shape shape{70001};
    for (SgdOptions options : {SgdOptions{}, SgdOptions{.momentum = 0.9},
                               SgdOptions{.momentum = 0.8, .nesterov = true, .grad_scale = 0.5}})
        for (DType dtype : {DType::f32, DType::f64}) {
            Generator generator{3};
            Tensor param = Tensor::empty(shape, dtype), grad = Tensor::empty(shape, dtype);
            normal(param, generator);
            const Tensor buffer = options.momentum > 0 ? Tensor::zeros(shape, dtype) : Tensor();
            std::vector<double> p = param.to_vector<double>(), b(p.size());
            for (int step = 0; step < 4; ++step) {
                normal(grad, generator);
                const SgdTensor t{param, grad, buffer, 0.1, 0.05};
                sgd({&t, 1}, options);
                const std::vector<double> g = grad.to_vector<double>();
                for (size_t i = 0; i < p.size(); ++i) {
                    const double d = g[i] * options.grad_scale + 0.05 * p[i];
                    b[i] = options.momentum * b[i] + d;
                    p[i] -= 0.1 * (options.nesterov ? d + options.momentum * b[i] : b[i]);
                }
            }
            CHECK(compare(param, Tensor::from(p, shape), rounding_of(dtype, 3)) == "");
        }
}

TEST_CASE("sgd in 16 bits, without a gradient, and what it refuses") {
    const Tensor half = Tensor::full({3}, 1, DType::f16);
    const SgdTensor small{half, Tensor::full({3}, 0.5), Tensor(), 0.5};
    sgd({&small, 1});
    CHECK(half.to_vector<double>() == std::vector<double>(3, 0.75));
    const SgdTensor none{half, Tensor(), Tensor(), 0.5};
    sgd({&none, 1});
    CHECK(half.to_vector<double>() == std::vector<double>(3, 0.75));
    CHECK_THROWS_AS(sgd({&small, 1}, {.momentum = 0.9}), Error);
    CHECK_THROWS_WITH_AS(sgd({&small, 1}, {.nesterov = true}),
                         "[sgd] nesterov needs a momentum above 0: got 0", Error);
    const SgdTensor turned{Tensor::zeros({2, 3}).transpose(0, 1), Tensor::zeros({3, 2}), Tensor()};
    CHECK_THROWS_WITH_AS(sgd({&turned, 1}),
                         "[sgd] parameter 0 must be a contiguous float tensor: got f32 (3, 2) on cpu", Error);
}

}  // namespace demi::test
