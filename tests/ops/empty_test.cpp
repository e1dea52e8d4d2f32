// Counts of zero: no rows, no columns, no classes, empty lists.
#include <doctest/doctest.h>

#include <cmath>

#include "ops/cross_entropy/cross_entropy.h"
#include "ops/dropout/drop_path.h"
#include "ops/dropout/dropout.h"
#include "ops/elementwise/arithmetic.h"
#include "ops/elementwise/functions.h"
#include "ops/interpolate_bicubic/interpolate_bicubic.h"
#include "ops/l2_normalize/l2_normalize.h"
#include "ops/layer_scale/layer_scale.h"
#include "ops/layernorm/layernorm.h"
#include "ops/operators.h"
#include "ops/optimizer/adamw.h"
#include "ops/optimizer/ema.h"
#include "ops/optimizer/grad_norm.h"
#include "ops/optimizer/sgd.h"
#include "ops/reduce/reduce.h"
#include "ops/softmax/softmax.h"
#include "ops/swiglu/swiglu.h"
#include "tests/support/device.h"
#include "tests/support/gradcheck.h"

namespace demi::test {
namespace {

constexpr DType kFloats[] = {DType::f32, DType::bf16, DType::f16, DType::f64};

// Results and gradients have their shapes and dtypes, whatever is in them.
void check_empty(const OpFunction& fn, const std::vector<Shape>& inputs, const Shape& result) {
    for (DType dtype : kFloats) {
        Vars leaves;
        for (const Shape& shape : inputs)
            leaves.emplace_back(Tensor::full(shape, 1, dtype, test_device()), true);
        const Variable y = fn(leaves)[0];
        CHECK(y.shape() == result);
        y.backward(Tensor::full(y.shape(), 1, y.dtype(), test_device()));
        for (const Variable& x : leaves) {
            CHECK(x.grad().shape() == x.shape());
            CHECK(x.grad().dtype() == dtype);
            for (double g : x.grad().to_vector<double>()) CHECK(g == 0);
        }
    }
}

}  // namespace

TEST_CASE("nothing: functions of one and two operands") {
    using Unary = Variable (*)(const Variable&);
    for (const Shape& shape : {Shape{0}, Shape{0, 4}, Shape{4, 0}, Shape{2, 0, 4}}) {
        CAPTURE(shape[0]);
        for (Unary fn : {Unary{abs}, Unary{exp}, Unary{gelu}, Unary{log}, Unary{relu}, Unary{sigmoid},
                         Unary{silu}, Unary{sqrt}, Unary{square}, Unary{tanh}})
            check_empty([fn](const Vars& x) { return fn(x[0]); }, {shape}, shape);
        check_empty([](const Vars& x) { return pow(x[0], -1.5); }, {shape}, shape);
        check_empty([](const Vars& x) { return clamp(x[0], 0, 1); }, {shape}, shape);
        check_empty([](const Vars& x) { return 2.0 / x[0] - x[0] / 2.0 + x[0] * 1e50; }, {shape}, shape);
        for (auto* fn :
             {static_cast<Variable (*)(const Variable&, const Variable&)>(add),
              static_cast<Variable (*)(const Variable&, const Variable&)>(sub),
              static_cast<Variable (*)(const Variable&, const Variable&)>(mul),
              static_cast<Variable (*)(const Variable&, const Variable&)>(div), maximum, minimum}) {
            check_empty([fn](const Vars& x) { return fn(x[0], x[1]); }, {shape, shape}, shape);
            check_empty([fn](const Vars& x) { return fn(x[0], x[1]); }, {shape, Shape{1}}, shape);
        }
        Generator generator{1};
        check_empty([&](const Vars& x) { return dropout(x[0], 0.5, generator); }, {shape}, shape);
        check_empty([&](const Vars& x) { return drop_path(x[0], 0.5, generator); }, {shape}, shape);
    }
}

TEST_CASE("nothing: rows") {
    for (const Shape& shape : {Shape{0, 4}, Shape{4, 0}, Shape{0, 0}, Shape{2, 0, 4}}) {
        CAPTURE(shape[0]);
        const Shape width{shape.back()};
        for (int dim : {-1, 0}) {
            check_empty([dim](const Vars& x) { return softmax(x[0], dim); }, {shape}, shape);
            check_empty([dim](const Vars& x) { return log_softmax(x[0], dim); }, {shape}, shape);
        }
        check_empty([](const Vars& x) { return l2_normalize(x[0]); }, {shape}, shape);
        check_empty([](const Vars& x) { return layernorm(x[0]); }, {shape}, shape);
        check_empty([](const Vars& x) { return layernorm(x[0], x[1], x[2]); }, {shape, width, width}, shape);
        check_empty([](const Vars& x) { return add_layernorm(x[0], x[1], x[2], x[3])[1]; },
                    {shape, shape, width, width}, shape);
        check_empty([](const Vars& x) { return layernorm_branch(x[0], DType::f16, x[1], x[2])[1]; },
                    {shape, width, width}, shape);
        check_empty([](const Vars& x) { return layer_scale(x[0], x[1]); }, {shape, width}, shape);
        check_empty([](const Vars& x) { return layer_scale_add(x[1], x[0], x[2]); }, {shape, shape, width},
                    shape);
        Shape half = shape;
        half[shape.rank() - 1] /= 2;
        check_empty([](const Vars& x) { return swiglu(x[0]); }, {shape}, half);
    }
    check_empty([](const Vars& x) { return interpolate_bicubic(x[0], 4, 5); }, {{0, 2, 3, 3}}, {0, 2, 4, 5});
    check_empty([](const Vars& x) { return interpolate_bicubic(x[0], 4, 5); }, {{2, 0, 3, 3}}, {2, 0, 4, 5});
    check_empty([](const Vars& x) { return interpolate_bicubic_rows(x[0], 3, 3, 4, 5); }, {{9, 0}}, {20, 0});
    CHECK_THROWS_AS(interpolate_bicubic(Tensor::zeros({1, 1, 0, 3}), 4, 5), Error);
}

TEST_CASE("nothing: sums, means, maxima") {
    check_empty([](const Vars& x) { return sum(x[0]); }, {{0, 3}}, {});
    check_empty([](const Vars& x) { return sum(x[0], {0}, true); }, {{0, 3}}, {1, 3});
    check_empty([](const Vars& x) { return sum(x[0], {1}); }, {{0, 3}}, {0});
    check_empty([](const Vars& x) { return mean(x[0]); }, {{0, 3}}, {});
    check_empty([](const Vars& x) { return mean(x[0], {0}); }, {{0, 3}}, {3});
    check_empty([](const Vars& x) { return mean(x[0], {1}); }, {{0, 3}}, {0});
    check_empty([](const Vars& x) { return max(x[0], {1}); }, {{0, 3}}, {0});
    CHECK_THROWS_WITH_AS(max(Tensor::zeros({3, 0}), {1}), doctest::Contains("at least one element"), Error);
    // A scaled sum, twice.
    for (int turn = 0; turn < 2; ++turn) {
        const Variable x(Tensor::zeros({0, 3}, DType::f32, test_device()), true);
        (sum(x) * 2.0).backward();
        CHECK(x.grad().shape() == Shape{0, 3});
    }
}

TEST_CASE("nothing: cross_entropy") {
    const Device device = test_device();
    for (DType dtype : kFloats)
        for (Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none})
            for (const bool hard : {true, false}) {
                const Variable x(Tensor::zeros({0, 4}, dtype, device), true);
                const Tensor t =
                    hard ? Tensor::zeros({0}, DType::i64, device) : Tensor::zeros({0, 4}, DType::f32, device);
                const Variable loss = cross_entropy(x, t, {.label_smoothing = 0.1, .reduction = reduction});
                if (reduction != Reduction::none) CHECK(loss.item() == 0);
                loss.backward(Tensor::full(loss.shape(), 1, loss.dtype(), device));
                CHECK(x.grad().shape() == Shape{0, 4});
            }
    CHECK_THROWS_WITH_AS(
        cross_entropy(Tensor::zeros({3, 0}, DType::f32, device), Tensor::zeros({3}, DType::i64, device)),
        doctest::Contains("at least one class"), Error);
    CHECK_THROWS_AS(
        cross_entropy(Tensor::zeros({0, 0}, DType::f32, device), Tensor::zeros({0}, DType::i64, device)),
        Error);
}

TEST_CASE("nothing: lists of tensors") {
    const Device device = test_device();
    adamw({});
    sgd({});
    ema({}, {}, 0.9);
    scale_grads({}, 2);
    CHECK(grad_norm({}) == 0);
    CHECK(clip_grad_norm({}, 1) == 0);
    CHECK(grads_finite({}));
    const auto none = [&] { return Tensor::zeros({0, 3}, DType::f32, device); };
    const AdamwTensor a{none(), none(), none(), none()};
    adamw({&a, 1});
    const SgdTensor s{none(), none(), none()};
    sgd({&s, 1}, {.momentum = 0.9});
    const std::vector<Tensor> list{none(), Tensor()};
    ema(std::vector<Tensor>{none()}, std::vector<Tensor>{none()}, 0.9);
    scale_grads(list, 2);
    CHECK(grad_norm(list) == 0);
    CHECK(clip_grad_norm(list, 1) == 0);
    CHECK(grads_finite(list));
    CHECK(grad_factors(std::vector<std::vector<Tensor>>{{}, list}, 2, 1, device).to_vector<double>() ==
          std::vector<double>{0, 0, 2, 2});
}

}  // namespace demi::test
