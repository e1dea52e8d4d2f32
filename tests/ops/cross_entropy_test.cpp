#include "ops/cross_entropy/cross_entropy.h"

#include <doctest/doctest.h>

#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/op_case.h"

namespace demi::test {
namespace {

// Labels that depend on the place only; every fifth is 1 (the one to ignore, where a test does).
int64_t label_of(int64_t row, int64_t classes) {
    return row % 5 == 2 ? std::min<int64_t>(1, classes - 1) : (row * 7 + 3) % classes;
}

Shape row_shape(Shape shape) {
    shape.erase(shape.rank() - 1);
    return shape;
}

Tensor labels_for(const Variable& logits) {
    std::vector<int64_t> labels;
    const Shape shape = row_shape(logits.shape());
    for (int64_t r = 0; r < shape.numel(); ++r) labels.push_back(label_of(r, logits.size(-1)));
    return Tensor::from(labels, shape, logits.device());
}

Array reference(const Array& x, const Array* target, const CrossEntropyOptions& options) {
    const int64_t classes = x.shape.back();
    Array losses(row_shape(x.shape));
    double total = 0, kept = 0;
    for (int64_t r = 0; r < losses.numel(); ++r) {
        const int64_t label = label_of(r, classes);
        if (target == nullptr && options.ignore_index == label) continue;
        double sum = 0;
        for (int64_t c = 0; c < classes; ++c) sum += std::exp(x[r * classes + c]);
        for (int64_t c = 0; c < classes; ++c) {
            const double hit = target != nullptr ? (*target)[r * classes + c] : c == label ? 1 : 0;
            const double t =
                (1 - options.label_smoothing) * hit + options.label_smoothing / static_cast<double>(classes);
            losses[r] += t * (std::log(sum) - x[r * classes + c]);
        }
        total += losses[r];
        kept += 1;
    }
    if (options.reduction == Reduction::none) return losses;
    return Array({}, options.reduction == Reduction::mean ? total / std::max(kept, 1.0) : total);
}

OpCase hard_case(CrossEntropyOptions options) {
    return {
        .op = "cross_entropy",
        .shapes = {{{3}}, {{0, 4}}, {{5, 1}}, {{7, 33}}, {{2, 3, 10}}, {{emulated() ? 20 : 400, 100}}},
        .fn = [=](const Vars& x) { return cross_entropy(x[0], labels_for(x[0]), options); },
        .reference = [=](const Arrays& x) -> Arrays { return {reference(x[0], nullptr, options)}; },
        .range = {-4, 4},
        .factor = 4,
        .grad_factor = 6,
    };
}

// The loss is f32 beside 16-bit logits: one dtype at a time.
void check_dtypes(OpCase c) {
    for (DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64}) {
        c.dtypes = {dtype};
        c.output_dtypes = {dtype == DType::f64 ? DType::f64 : DType::f32};
        check_op(c);
    }
}

}  // namespace

TEST_CASE("cross_entropy of labels") {
    check_dtypes(hard_case({}));
    check_dtypes(hard_case({.label_smoothing = 0.1}));
    check_dtypes(hard_case({.reduction = Reduction::none}));
    check_dtypes(hard_case({.label_smoothing = 0.2, .ignore_index = 1}));
    OpCase sum = hard_case({.ignore_index = 1, .reduction = Reduction::sum});
    sum.shapes.pop_back();  // sums of hundreds of rows leave the tolerance of one
    check_dtypes(sum);
}

TEST_CASE("cross_entropy of probabilities") {
    const int64_t rows = emulated() ? 10 : 300;
    for (double smoothing : {0.0, 0.1})
        for (Reduction reduction : {Reduction::mean, Reduction::none}) {
            const CrossEntropyOptions options{.label_smoothing = smoothing, .reduction = reduction};
            check_dtypes({
                .op = "cross_entropy",
                .shapes = {{{3}, {3}}, {{0, 4}, {0, 4}}, {{7, 33}, {7, 33}}, {{rows, 140}, {rows, 140}}},
                .fn = [=](const Vars& x) { return cross_entropy(x[0], x[1], options); },
                .reference = [=](const Arrays& x) -> Arrays { return {reference(x[0], &x[1], options)}; },
                .ranges = {{-4, 4}, {0, 0.05}},
                .factor = 10,
                .grad_factor = 20,
            });
        }
}

TEST_CASE("cross_entropy of large, masked and equal logits") {
    const double inf = INFINITY;
    const Tensor x =
        Tensor::from(std::vector<double>{1e4, 1e4 - 1, -inf, 0, -1e30, 0}, {2, 3}).to(DType::f32);
    const Tensor labels = Tensor::from(std::vector<int64_t>{1, 2}, {2});
    const Variable leaf(x, true);
    const Variable loss = cross_entropy(leaf, labels, {.reduction = Reduction::none});
    const std::vector<double> got = loss.value().to_vector<double>();
    CHECK(got[0] == doctest::Approx(1 + std::log1p(std::exp(-1))).epsilon(1e-6));
    CHECK(got[1] == doctest::Approx(std::log(2.0)).epsilon(1e-6));
    loss.backward(Tensor::full({2}, 1));
    const std::vector<double> grad = leaf.grad().to_vector<double>();
    CHECK(grad[2] == 0);
    CHECK(grad[5] == doctest::Approx(-0.5));
    // A masked class of probability 0 adds nothing.
    const Tensor p = Tensor::from(std::vector<float>{0.25f, 0.75f, 0}, {1, 3});
    CHECK(std::isfinite(cross_entropy(x.slice(0, 0, 1), p).item()));
}

TEST_CASE("cross_entropy where every row is ignored") {
    const Variable x(Tensor::full({2, 3}, 1), true);
    const Variable loss =
        cross_entropy(x, Tensor::from(std::vector<int64_t>{-100, -100}, {2}), {.ignore_index = -100});
    CHECK(loss.item() == 0);
    loss.backward();
    CHECK(x.grad().to_vector<double>() == std::vector<double>(6, 0.0));
}

TEST_CASE("cross_entropy refuses") {
    const Tensor x = Tensor::zeros({3, 4});
    const auto labels = [](std::vector<int64_t> values) {
        return Tensor::from(values, {static_cast<int64_t>(values.size())});
    };
    CHECK_THROWS_WITH_AS(cross_entropy(x, labels({0, 4, 1})),
                         "[cross_entropy] labels must lie in [0, 4): label 1 of 3 is 4", Error);
    CHECK_THROWS_WITH_AS(cross_entropy(x, labels({0, 1, -1})),
                         "[cross_entropy] labels must lie in [0, 4): label 2 of 3 is -1", Error);
    CHECK_THROWS_WITH_AS(
        cross_entropy(x, labels({0, 1})),
        "[cross_entropy] labels must have shape (3,) for logits f32 (3, 4) on cpu: got i64 (2,) on cpu",
        Error);
    CHECK_THROWS_AS(cross_entropy(x, Tensor::zeros({3, 5})), Error);
    CHECK_THROWS_AS(cross_entropy(x, Tensor::zeros({3}, DType::i32)), Error);
    CHECK_THROWS_AS(cross_entropy(Tensor::zeros({3, 0}), labels({0, 0, 0})), Error);
    CHECK_THROWS_AS(cross_entropy(x, labels({0, 1, 2}), {.label_smoothing = 1.5}), Error);
}

}  // namespace demi::test
