#include "ops/rope/rope.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/operators.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/op_case.h"

namespace demi::test {
namespace {

struct Angles {
    int64_t positions, sequences, prefix;
    double angle(int64_t t, int64_t k) const { return 0.7 * double(t + 1) / double(k + 1) - 1.3; }
};

RopeSegment segment(const Angles& a, int64_t half, DType dtype, Device device) {
    Tensor table = Tensor::empty({2, a.positions, half}, DType::f64);
    double* out = table.mutable_data<double>();
    for (int64_t t = 0; t < a.positions; ++t)
        for (int64_t k = 0; k < half; ++k) {
            out[t * half + k] = std::cos(a.angle(t, k));
            out[(a.positions + t) * half + k] = std::sin(a.angle(t, k));
        }
    return {table.to(dtype == DType::f64 ? DType::f64 : DType::f32).to(device), a.sequences, a.prefix};
}

std::vector<RopeSegment> segments(const std::vector<Angles>& all, const Tensor& x) {
    std::vector<RopeSegment> out;
    for (const Angles& a : all) out.push_back(segment(a, x.size(-1) / 2, x.dtype(), x.device()));
    return out;
}

// The pair (x_k, x_{k + K/2}) as a complex number times e^{i a}, token by token.
Array turned(const Array& x, const std::vector<Angles>& all) {
    Array y = x;
    const int64_t width = x.shape[x.shape.rank() - 1], half = width / 2;
    const int64_t rows = x.numel() == 0 ? 0 : x.numel() / (x.shape[0] * x.shape[1] * width);
    const int64_t rotated = x.shape.rank() == 5 ? rows / 3 * 2 : rows;
    int64_t token = 0;
    for (const Angles& a : all)
        for (int64_t s = 0; s < a.sequences; ++s)
            for (int64_t p = -a.prefix; p < a.positions; ++p, ++token)
                for (int64_t r = 0; p >= 0 && r < rotated; ++r)
                    for (int64_t k = 0; k < half; ++k) {
                        const int64_t at = (token * rows + r) * width + k;
                        const double c = std::cos(a.angle(p, k)), s_ = std::sin(a.angle(p, k));
                        y[at] = x[at] * c - x[at + half] * s_;
                        y[at + half] = x[at + half] * c + x[at] * s_;
                    }
    return y;
}

void check_rope(const Shape& shape, const std::vector<Angles>& all) {
    check_op({
        .op = "rope",
        .shapes = {{shape}},
        .fn = [all](const Vars& x) { return rope(x[0], segments(all, x[0].value())); },
        .reference = [all](const Arrays& x) -> Arrays { return {turned(x[0], all)}; },
    });
    check_op({
        .op = "rope_in_place",
        .shapes = {{shape}},
        .fn = [all](const Vars& x) { return rope_in_place(x[0] * 1.0, segments(all, x[0].value())); },
        .reference = [all](const Arrays& x) -> Arrays { return {turned(x[0], all)}; },
    });
}

}  // namespace

TEST_CASE("rope") {
    check_rope({2, 7, 3, 8}, {{6, 2, 1}});
    check_rope({1, 1, 1, 2}, {{1, 1, 0}});
    check_rope({2, 5, 3, 2, 36}, {{3, 2, 2}});
    check_rope({3, 9, 3, 2, 70}, {{9, 3, 0}});
    check_rope({2, 40, 3, 3, 128}, {{35, 2, 5}});
    check_rope({300, 9, 3, 1, 8}, {{4, 300, 5}});
}

TEST_CASE("rope: packed sequences of different lengths, each with its table") {
    check_rope({1, 2 * 7 + 3 * 5, 3, 2, 12}, {{6, 2, 1}, {4, 3, 1}});
    check_rope({1, 8, 3, 1, 4}, {{6, 0, 1}, {0, 3, 1}, {4, 1, 1}});
}

TEST_CASE("rope: nothing to turn") {
    check_rope({0, 5, 3, 2, 4}, {{4, 0, 1}});
    check_rope({2, 0, 3, 2, 4}, {});
    check_rope({2, 3, 3, 0, 4}, {{2, 2, 1}});
    check_rope({2, 3, 2, 0}, {{2, 2, 1}});
    check_rope({2, 3, 2, 4}, {{0, 2, 3}});
}

TEST_CASE(
    "rope keeps lengths, is undone by the opposite angles, and scores see differences of positions only") {
    Generator g{3};
    const auto line = [](int64_t from, double sign) {  // position p at angle (from + p) w_k
        Tensor table = Tensor::empty({2, 6, 4}, DType::f64);
        for (int64_t p = 0; p < 6; ++p)
            for (int64_t k = 0; k < 4; ++k) {
                const double a = sign * double(from + p) / std::pow(3.0, double(k));
                table.mutable_data<double>()[p * 4 + k] = std::cos(a);
                table.mutable_data<double>()[(6 + p) * 4 + k] = std::sin(a);
            }
        return table;
    };
    const Tensor q = randn({1, 1, 1, 8}, g, DType::f64).expand({1, 6, 1, 8}),
                 k = randn({1, 1, 1, 8}, g, DType::f64).expand({1, 6, 1, 8});
    const auto at = [&](const Tensor& x, int64_t from) {
        return rope(Variable(x), {{line(from, 1), 1, 0}}).value();
    };
    CHECK(compare(rope(Variable(at(q, 2)), {{line(2, -1), 1, 0}}).value(), q, {1e-14, 1e-14}) == "");
    const auto score = [&](int64_t i, int64_t j, int64_t from) {
        const auto a = at(q, from).select(1, i).to_vector<double>(),
                   b = at(k, from).select(1, j).to_vector<double>();
        double sum = 0;
        for (size_t d = 0; d < a.size(); ++d) sum += a[d] * b[d];
        return sum;
    };
    CHECK(score(1, 4, 0) == doctest::Approx(score(2, 5, 0)).epsilon(1e-12));
    CHECK(score(1, 4, 0) == doctest::Approx(score(1, 4, 17)).epsilon(1e-12));
    CHECK(score(1, 4, 0) != doctest::Approx(score(1, 5, 0)).epsilon(1e-6));
}

TEST_CASE("rope_in_place copies nothing, forward and backward, and leaves gradients that are held alone") {
    Generator g{5};
    const Tensor leaf = randn({2, 4, 3, 2, 8}, g);
    const Variable x(leaf.clone(), true);
    const std::vector<RopeSegment> one = segments({{3, 2, 1}}, leaf);
    const Variable h = x * 2.0;
    const Variable y = rope_in_place(h, one);
    CHECK(y.value().buffer() == h.value().buffer());
    const Tensor seed = randn(y.shape(), g), kept = seed.clone();
    y.backward(seed, {.retain_graph = true});
    CHECK(same_bits(seed, kept) == "");
    const Tensor first = x.grad().clone();
    Variable again = x;
    again.zero_grad();
    y.backward(seed);
    CHECK(same_bits(again.grad(), first) == "");
    // an op that saved x notices
    const Variable s = x * 2.0, squared = s * s;
    const Variable t = rope_in_place(s, one);
    CHECK_THROWS_AS(squared.backward(seed), Error);
}

TEST_CASE("rope: what it refuses") {
    const Variable x(Tensor::zeros({2, 4, 3, 2, 8}), true);
    const Tensor table = Tensor::zeros({2, 3, 4});
    CHECK_THROWS_WITH_AS(rope(x, {{table, 1, 1}}),
                         "[rope] segments must cover the 8 tokens of x f32 (2, 4, 3, 2, 8) on cpu: got 4",
                         Error);
    CHECK_THROWS_WITH_AS(
        rope(x, {{Tensor::zeros({2, 3, 8}), 2, 1}}),
        "[rope] a table must be [2, T, 4] for x f32 (2, 4, 3, 2, 8) on cpu: got f32 (2, 3, 8) on cpu", Error);
    CHECK_THROWS_AS(rope(x, {{table, -2, 1}}), Error);
    CHECK_THROWS_AS(rope(x, {{table, 2, -1}}), Error);
    CHECK_THROWS_AS(rope(x, {{table, INT64_MAX / 2, 1}}), Error);
    CHECK_THROWS_AS(rope(x, {{Tensor(), 2, 1}}), Error);
    CHECK_THROWS_AS(rope(Tensor::zeros({2, 4, 2, 8}, DType::i64), {{table, 2, 1}}), Error);
    CHECK_THROWS_WITH_AS(
        rope(Tensor::zeros({2, 4, 2, 7}), {{table, 2, 1}}),
        "[rope] x must be [B, N, H, K] or [B, N, 3, H, K] with K even: got f32 (2, 4, 2, 7) on cpu", Error);
    CHECK_THROWS_WITH_AS(rope_in_place(x, {{table, 2, 1}}),
                         "[rope_in_place] x must not be a leaf that requires a gradient", Error);
    CHECK_THROWS_AS(rope_in_place(Tensor::zeros({4, 2, 2, 8}).transpose(0, 1), {{table, 2, 1}}), Error);
}

}  // namespace demi::test
