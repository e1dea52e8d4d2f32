#include "ops/elementwise/cast.h"
#include "ops/layernorm/layernorm.h"

#include <doctest/doctest.h>

#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/op_case.h"

namespace demi::test {
namespace {

constexpr double kEps = 1e-3;

Array normalise(const Array& x, const Array* weight, const Array* bias, double eps) {
    Array y(x.shape);
    const int64_t width = x.shape.back();
    for (int64_t at = 0; at < x.numel(); at += width) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < width; ++i) mean += x[at + i] / static_cast<double>(width);
        for (int64_t i = 0; i < width; ++i)
            variance += (x[at + i] - mean) * (x[at + i] - mean) / static_cast<double>(width);
        for (int64_t i = 0; i < width; ++i)
            y[at + i] = (x[at + i] - mean) / std::sqrt(variance + eps) * (weight ? (*weight)[i] : 1) +
                        (bias ? (*bias)[i] : 0);
    }
    return y;
}

}  // namespace

TEST_CASE("layernorm with an affine map") {
    check_op({
        .op = "layernorm",
        .shapes = {{{4}, {4}, {4}},
                   {{0, 3}, {3}, {3}},
                   {{5, 33}, {33}, {33}},
                   {{2, 3, 70}, {70}, {70}},
                   {{700, 130}, {130}, {130}}},
        .fn = [](const Vars& x) { return layernorm(x[0], x[1], x[2], kEps); },
        .reference = [](const Arrays& x) -> Arrays { return {normalise(x[0], &x[1], &x[2], kEps)}; },
        .factor = 3,
        .grad_factor = 20,
    });
}

TEST_CASE("layernorm without an affine map") {
    check_op({
        .op = "layernorm",
        .shapes = {{{2, 17}}, {{3, 0}}, {{3, 1}}, {{200, 192}}},
        .fn = [](const Vars& x) { return layernorm(x[0], {}, {}, kEps); },
        .reference = [](const Arrays& x) -> Arrays { return {normalise(x[0], nullptr, nullptr, kEps)}; },
        .factor = 3,
        .grad_factor = 20,
    });
}

TEST_CASE("add_layernorm") {
    check_op({
        .op = "add_layernorm",
        .shapes = {{{5, 33}, {5, 33}, {33}, {33}}, {{300, 128}, {300, 128}, {128}, {128}}},
        .fn = [](const Vars& x) { return add_layernorm(x[0], x[1], x[2], x[3], kEps); },
        .reference = [](const Arrays& x) -> Arrays {
            const Array sum = zip(x[0], x[1], [](double a, double b) { return a + b; });
            return {sum, normalise(sum, &x[2], &x[3], kEps)};
        },
        .factor = 4,
        .grad_factor = 20,
    });
}

TEST_CASE("layernorm_branch") {
    check_op({
        .op = "layernorm_branch",
        .shapes = {{{5, 33}, {33}, {33}}, {{300, 128}, {128}, {128}}, {{0, 4}, {4}, {4}}},
        .fn = [](const Vars& x) { return layernorm_branch(x[0], x[0].dtype(), x[1], x[2], kEps); },
        .reference = [](const Arrays& x) -> Arrays {
            return {x[0], normalise(x[0], &x[1], &x[2], kEps)};
        },
        .factor = 4,
        .grad_factor = 20,
    });
}

TEST_CASE("layernorm with f32 parameters beside f16") {
    Generator generator{3};
    Tensor x = Tensor::empty({6, 40}, DType::f16), w = Tensor::empty({40}), b = Tensor::empty({40});
    for (Tensor* t : {&x, &w, &b}) normal(*t, generator);
    const Variable vx(x, true), vw(w, true), vb(b, true);
    const Variable y = layernorm(vx, vw, vb);
    CHECK(y.dtype() == DType::f16);
    const Array wide_w(w), wide_b(b);
    CHECK(compare(y.value(), normalise(Array(x), &wide_w, &wide_b, kLayernormEps).tensor(),
                  rounding_of(DType::f16)) == "");
    y.backward(Tensor::full({6, 40}, 0.5, DType::f16));
    CHECK(vx.grad().dtype() == DType::f16);
    CHECK(vw.grad().dtype() == DType::f32);
    CHECK(vb.grad().to_vector<double>() == std::vector<double>(40, 3.0));
}

TEST_CASE("layernorm in another dtype is layernorm, then cast") {
    Generator generator{5};
    for (DType from : {DType::f32, DType::f16, DType::f64})
        for (DType to : {DType::f16, DType::bf16, DType::f32})
            for (const Shape& shape : {Shape{0, 4}, Shape{3, 33}, Shape{21, 384}, Shape{5, 1028}}) {
                INFO(name(from), " to ", name(to), ", width ", shape[1]);
                Tensor x = Tensor::empty(shape), dy = Tensor::empty(shape);
                Tensor w = Tensor::empty({shape[1]}), b = Tensor::empty({shape[1]});
                for (Tensor* t : {&x, &dy, &w, &b}) normal(*t, generator);
                std::vector<Tensor> want;
                for (const bool apart : {true, false}) {
                    const auto leaf = [](const Tensor& t) { return Variable(t.to(test_device()), true); };
                    const Variable vx = leaf(x.to(from)), vw = leaf(w), vb = leaf(b);
                    const std::vector<Variable> both = layernorm_branch(vx, apart ? from : to, vw, vb);
                    const Variable y = apart ? cast(both[1], to) : both[1];
                    CHECK(y.dtype() == to);
                    const Variable alone = layernorm_as(vx, to, vw, vb);
                    CHECK(same_bits(alone.value(), y.value()) == "");
                    y.backward(dy.to(to).to(test_device()));
                    const Tensors got{y.value(), vx.grad(), vw.grad(), vb.grad()};
                    if (apart) want = got;
                    for (size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], want[i]) == "");
                }
            }
}

TEST_CASE("layernorm far from zero keeps its digits") {
    std::vector<double> values;
    for (int i = 0; i < 64; ++i) values.push_back(1000 + i % 2);
    const std::vector<double> y =
        layernorm(Tensor::from(values, {64}).to(DType::f32), {}, {}, 0).value().to_vector<double>();
    CHECK(y[0] == doctest::Approx(-1));
    CHECK(y[1] == doctest::Approx(1));
}

TEST_CASE("layernorm refuses") {
    const Tensor x = Tensor::zeros({2, 3});
    CHECK_THROWS_WITH_AS(layernorm(x, Tensor::zeros({4})),
                         "[layernorm] weight must be a float vector of shape (3,), the last size of x f32 "
                         "(2, 3) on cpu: got f32 (4,) on cpu",
                         Error);
    CHECK_THROWS_AS(layernorm(Tensor::zeros({})), Error);
    CHECK_THROWS_AS(layernorm(x, {}, {}, -1), Error);
    CHECK_THROWS_AS(add_layernorm(x, Tensor::zeros({3, 2})), Error);
}

}  // namespace demi::test
