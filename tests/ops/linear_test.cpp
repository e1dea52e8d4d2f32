#include "ops/linear/linear.h"

#include <doctest/doctest.h>

#include "ops/elementwise/functions.h"
#include "ops/linear/inference_mode.h"
#include "ops/mlp/mlp.h"
#include "ops/views/views.h"
#include "runtime/allocator.h"
#include "runtime/random.h"
#include "tests/ops/linear_reference.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace demi::test {
namespace {

Tensor random_normal(Generator& generator, const Shape& shape, DType dtype) {
    Tensor t = Tensor::empty(shape, dtype);
    normal(t, generator);
    return t;
}

}  // namespace

TEST_CASE("linear") {
    for (Activation activation : {Activation::none, Activation::gelu}) {
        const bool gelu = activation == Activation::gelu;
        OpCase c{
            .op = "linear",
            .shapes = {{{2, 3}, {4, 3}, {4}},
                       {{5}, {3, 5}, {3}},
                       {{2, 3, 7}, {33, 7}, {33}},
                       {{0, 3}, {4, 3}, {4}},
                       {{3, 0}, {4, 0}, {4}},
                       {{2, 3}, {0, 3}, {0}},
                       {{40, 390}, {17, 390}, {17}},
                       {{400, 12}, {40, 12}, {40}}},
            .fn = [=](const Vars& x) { return linear(x[0], x[1], x[2], activation); },
            .reference = [=](const Arrays& x) -> Arrays {
                return {linear_reference(x[0], x[1], &x[2], gelu)};
            },
            .range = {-1, 1},
            .factor = 10,
            .grad_factor = 20,
            .products = true,
        };
        check_op(c);
        c.shapes = {{{2, 3}, {4, 3}}, {{1, 1}, {1, 1}}, {{6, 2, 19}, {35, 19}}};
        c.fn = [=](const Vars& x) { return linear(x[0], x[1], {}, activation); };
        c.reference = [=](const Arrays& x) -> Arrays {
            return {linear_reference(x[0], x[1], nullptr, gelu)};
        };
        check_op(c);
    }
}

TEST_CASE("linear_add and mlp_add") {
    OpCase c{
        .op = "linear_add",
        .shapes = {{{2, 4}, {2, 3}, {4, 3}, {4}},
                   {{0, 4}, {0, 3}, {4, 3}, {4}},
                   {{2, 3, 33}, {2, 3, 7}, {33, 7}, {33}},
                   {{40, 17}, {40, 390}, {17, 390}, {17}},
                   {{400, 40}, {400, 12}, {40, 12}, {40}}},
        .fn = [](const Vars& x) { return linear_add(x[0], x[1], x[2], x[3]); },
        .reference = [](const Arrays& x) -> Arrays {
            Array y = linear_reference(x[1], x[2], &x[3], false);
            for (size_t i = 0; i < y.data.size(); ++i) y.data[i] += x[0].data[i];
            return {y};
        },
        .range = {-1, 1},
        .factor = 10,
        .grad_factor = 20,
        .products = true,
    };
    check_op(c);
    // beyond 384 rows the hidden layer is computed again instead of kept
    c.op = "mlp_add";
    c.shapes = {{{2, 5}, {2, 3}, {4, 3}, {4}, {5, 4}, {5}},
                {{391, 6}, {391, 3}, {19, 3}, {19}, {6, 19}, {6}}};
    c.fn = [](const Vars& x) { return mlp_add(x[0], x[1], x[2], x[3], x[4], x[5]); };
    c.reference = [](const Arrays& x) -> Arrays {
        Array y = linear_reference(linear_reference(x[1], x[2], &x[3], true), x[4], &x[5], false);
        for (size_t i = 0; i < y.data.size(); ++i) y.data[i] += x[0].data[i];
        return {y};
    };
    check_op(c);
    const Tensor x = Tensor::zeros({2, 3}), w = Tensor::zeros({4, 3});
    CHECK_THROWS_WITH_AS(linear_add(Tensor::zeros({2, 3}), x, w),
                         doctest::Contains("the residual must have the result's shape (2, 4): got (2, 3)"),
                         Error);
    CHECK_THROWS_WITH_AS(mlp_add({}, x, w, {}, Tensor::zeros({3, 4}), {}),
                         doctest::Contains("needs a residual"), Error);
}

TEST_CASE("mlp gives the same bits whether it keeps the hidden layer or not") {
    Generator rng{5};
    for (DType dtype : {DType::f32, DType::f16, DType::bf16}) {
        const int64_t rows = 400;
        const Tensor x = random_normal(rng, {rows, 20}, dtype), w1 = random_normal(rng, {50, 20}, dtype),
                     w2 = random_normal(rng, {30, 50}, dtype), dy = random_normal(rng, {rows, 30}, dtype);
        Variable xv(x, true), w1v(w1, true), w2v(w2, true), x2(x, true), w3(w1, true), w4(w2, true);
        const Variable y = mlp(xv, w1v, {}, w2v, {}), y2 = linear(linear(x2, w3, {}, Activation::gelu), w4);
        CHECK(same_bits(y.value(), y2.value()) == "");
        y.backward(dy);
        y2.backward(dy);
        CHECK(same_bits(w2v.grad(), w4.grad()) == "");
        if (dtype != DType::f32) continue;  // with 16 bits linear's gradient of gelu is rounded once more
        CHECK(same_bits(xv.grad(), x2.grad()) == "");
        CHECK(same_bits(w1v.grad(), w3.grad()) == "");
    }
}

TEST_CASE("linear with gelu is gelu after linear, bit for bit") {
    Generator rng{3};
    for (DType dtype : {DType::f32, DType::f16, DType::bf16}) {
        const Tensor x = random_normal(rng, {37, 50}, dtype), w = random_normal(rng, {45, 50}, dtype),
                     b = random_normal(rng, {45}, dtype);
        CHECK(same_bits(linear(x, w, b, Activation::gelu).value(), gelu(linear(x, w, b)).value()) == "");
    }
}

TEST_CASE("linear rounds f32 parameters to a 16-bit input's dtype and gives f32 gradients") {
    Generator rng{4};
    for (DType dtype : {DType::f16, DType::bf16}) {
        const Tensor x = random_normal(rng, {70, 30}, dtype), w = random_normal(rng, {40, 30}, DType::f32),
                     b = random_normal(rng, {40}, DType::f32), dy = random_normal(rng, {70, 40}, dtype);
        Variable xv(x, true), wv(w, true), bv(b, true), x2(x, true), w2(w.to(dtype), true),
            b2(b.to(dtype), true);
        const Variable y = linear(xv, wv, bv), y2 = linear(x2, w2, b2);
        CHECK(same_bits(y.value(), y2.value()) == "");
        y.backward(dy);
        y2.backward(dy);
        CHECK(same_bits(xv.grad(), x2.grad()) == "");
        REQUIRE(wv.grad().dtype() == DType::f32);
        REQUIRE(bv.grad().dtype() == DType::f32);
        CHECK(same_bits(wv.grad().to(dtype), w2.grad()) == "");
        CHECK(same_bits(bv.grad().to(dtype), b2.grad()) == "");
    }
}

TEST_CASE("linear computes only the gradients that are wanted") {
    Generator rng{5};
    const Tensor x = random_normal(rng, {6, 5}, DType::f32), w = random_normal(rng, {4, 5}, DType::f32),
                 b = random_normal(rng, {4}, DType::f32), dy = random_normal(rng, {6, 4}, DType::f32);
    Variable all_x(x, true), all_w(w, true), all_b(b, true);
    linear(all_x, all_w, all_b).backward(dy);
    for (int wanted = 1; wanted < 8; ++wanted) {
        Variable xv(x, wanted & 1), wv(w, wanted & 2), bv(b, wanted & 4);
        linear(xv, wv, bv).backward(dy);
        if (wanted & 1) CHECK(same_bits(xv.grad(), all_x.grad()) == "");
        if (wanted & 2) CHECK(same_bits(wv.grad(), all_w.grad()) == "");
        if (wanted & 4) CHECK(same_bits(bv.grad(), all_b.grad()) == "");
    }
}

TEST_CASE("linear to one output takes a gradient with any stride there") {
    Generator rng{6};
    const Tensor x = random_normal(rng, {6, 5}, DType::f32), w = random_normal(rng, {1, 5}, DType::f32),
                 dy = random_normal(rng, {6}, DType::f32);
    Variable wv(w, true), bv(Tensor::zeros({1}), true);
    linear(x, wv, bv).backward(dy.as_strided({6, 1}, {1, 0}, 0));
    double sum = 0;
    for (double v : dy.to_vector<double>()) sum += v;
    CHECK(bv.grad().item() == doctest::Approx(sum).epsilon(1e-6));
}

TEST_CASE("mlp") {
    OpCase c{
        .op = "mlp",
        .shapes = {{{2, 3}, {4, 3}, {4}, {5, 4}, {5}},
                   {{2, 3, 7}, {33, 7}, {33}, {7, 33}, {7}},
                   {{0, 3}, {4, 3}, {4}, {3, 4}, {3}},
                   {{5}, {7, 5}, {7}, {2, 7}, {2}},
                   {{390, 9}, {34, 9}, {34}, {9, 34}, {9}}},
        .fn = [](const Vars& x) { return mlp(x[0], x[1], x[2], x[3], x[4]); },
        .reference = [](const Arrays& x) -> Arrays {
            return {linear_reference(linear_reference(x[0], x[1], &x[2], true), x[3], &x[4], false)};
        },
        .range = {-1, 1},
        .factor = 16,
        .grad_factor = 40,
        .products = true,
    };
    check_op(c);
    c.shapes = {{{6, 3}, {4, 3}, {5, 4}}};
    c.fn = [](const Vars& x) { return mlp(x[0], x[1], {}, x[2], {}); };
    c.reference = [](const Arrays& x) -> Arrays {
        return {linear_reference(linear_reference(x[0], x[1], nullptr, true), x[2], nullptr, false)};
    };
    check_op(c);
}

TEST_CASE("linear and mlp refuse what does not fit") {
    const Tensor x = Tensor::zeros({2, 3}), w = Tensor::zeros({4, 3}), b = Tensor::zeros({4});
    CHECK_THROWS_WITH_AS(linear(x, Tensor::zeros({4, 2})),
                         "[linear] weight must be [out, 3] for an input of (2, 3): got (4, 2)", Error);
    CHECK_THROWS_WITH_AS(linear(x, w, Tensor::zeros({3})), "[linear] bias must be [4]: got (3,)", Error);
    CHECK_THROWS_WITH_AS(linear(x, w.to(DType::f16)), "[linear] weight must have x's dtype f32: got f16",
                         Error);
    CHECK_THROWS_AS(linear(x.to(DType::f16), w.to(DType::bf16)), Error);
    CHECK_THROWS_AS(linear(Tensor::zeros({}), w), Error);
    CHECK_THROWS_AS(linear(Tensor::zeros({2, 3}, DType::i64), w), Error);
    CHECK_THROWS_WITH_AS(mlp(x, w, b, Tensor::zeros({3, 5}), {}),
                         "[mlp] w2 must be [out, 4] for an input of (2, 3): got (3, 5)", Error);
}

TEST_CASE("inference mode holds packed weights: the same bits, also after a weight was written to") {
    Generator g{31};
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64})
        for (const int64_t rows : {1, 9, 300, 500}) {
            CAPTURE(dtype);
            CAPTURE(rows);
            const DType stored = dtype == DType::f64 ? dtype : DType::f32;
            const Tensor x = random_normal(g, {rows, 70}, dtype), bias = random_normal(g, {50}, stored);
            Variable w1(random_normal(g, {50, 70}, stored), true),
                w2(random_normal(g, {70, 50}, stored), true);
            const auto all = [&] {
                const Variable y = linear(x, w1, bias, Activation::gelu);
                const Variable z = mlp_add(x, x, w1, bias, w2, {});
                const Variable t = linear(x, slice(w1.value(), 0, 10, 30));  // a part of the same memory
                return std::vector{y.value().to_vector<double>(), z.value().to_vector<double>(),
                                   t.value().to_vector<double>()};
            };
            const auto before = all();
            const InferenceMode outer;
            {
                const InferenceMode inner;
                CHECK_FALSE(linear(x, w1).requires_grad());
                CHECK(all() == before);
            }
            CHECK(all() == before);
            normal(w1.value(), g);
            const auto after = all();
            CHECK(after != before);
            CHECK(all() == after);
        }
}

TEST_CASE("inference mode gives its memory back, and holds nothing for weights that are gone") {
    Generator g{32};
    const Variable x(random_normal(g, {4, 64}, DType::f32)), w(random_normal(g, {48, 64}, DType::f32));
    const int64_t before = allocator_stats().live_bytes;
    {
        const InferenceMode inference;
        linear(x, w);
        const int64_t held = allocator_stats().live_bytes;
        CHECK(held >= before + 48 * 64 * 4);
        for (int i = 0; i < 20; ++i) linear(x, random_normal(g, {48, 64}, DType::f32));
        CHECK(allocator_stats().live_bytes <= held + 2 * 48 * 64 * 4);
    }
    CHECK(allocator_stats().live_bytes == before);
    CHECK(linear(x, Variable(w.value(), true)).requires_grad());
}

}  // namespace demi::test
