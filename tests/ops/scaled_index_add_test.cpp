#include "ops/scaled_index_add/scaled_index_add.h"

#include <doctest/doctest.h>

#include "runtime/allocator.h"
#include "tests/ops/index_support.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace demi::test {
namespace {

Boundary in_mode(BoundaryMode mode) { return {.mode = mode}; }

Arrays reference(const Arrays& x, const std::vector<int64_t>& rows, float alpha) {
    Array out = x[0];
    for (size_t b = 0; b < rows.size(); ++b)
        for (int64_t m = 0; m < out.shape[1]; ++m)
            for (int64_t d = 0; d < out.shape[2]; ++d)
                out({rows[b], m, d}) += static_cast<double>(alpha) * (x.size() > 2 ? x[2][d] : 1) *
                                        x[1]({static_cast<int64_t>(b), m, d});
    return {out};
}

void check_rows(const Shape& input, const std::vector<int64_t>& rows, float alpha, bool scaled,
                BoundaryMode mode,
                std::vector<DType> dtypes = {DType::f32, DType::f16, DType::bf16, DType::f64}) {
    const Shape source{static_cast<int64_t>(rows.size()), input[1], input[2]};
    std::vector<Shape> shapes{input, source};
    if (scaled) shapes.push_back({input[2]});
    check_op({
        .op = "scaled_index_add",
        .shapes = {shapes},
        .fn =
            [=](const Vars& x) {
                return scaled_index_add(x[0], rows_of(rows).to(x[0].device()), x[1],
                                        scaled ? x[2] : Variable(), alpha, in_mode(mode));
            },
        .reference = [=](const Arrays& x) { return reference(x, rows, alpha); },
        .dtypes = std::move(dtypes),
        .factor = 4,
        .grad_factor = 8,
    });
}

}  // namespace

TEST_CASE("scaled_index_add adds scaled rows at any list") {
    using enum BoundaryMode;
    check_rows({4, 3, 5}, {2, 0}, 0.73f, true, off);
    check_rows({4, 3, 5}, {2, 0}, -1.5f, false, off);
    check_rows({3, 2, 33}, {1, 1, 2, 1}, 1.25f, true, off);   // duplicates
    check_rows({3, 2, 7}, {}, 1.0f, true, off);               // empty
    check_rows({5, 1, 1}, {4, 3, 2, 1, 0}, 1.0f, true, off);  // full permutation
    check_rows({1, 1, 1}, {0}, 2.0f, true, off);
    check_rows({2, 3, 1100}, {1}, 0.5f, true, off);
    check_rows({2, 150, 40}, {1, 0}, 0.5f, true, off, {DType::f32});  // several partial sums
    check_rows({2, 1, 40000}, {1}, 0.5f, true, off, {DType::f32});
    check_rows({0, 3, 4}, {}, 1.0f, true, off, {DType::f32});
    check_rows({3, 0, 4}, {1}, 1.0f, true, off, {DType::f32});
    check_rows({4, 3, 5}, {2, 0}, 0.73f, true, strict, {DType::f16, DType::f64});
    check_rows({4, 3, 5}, {2, 0}, 0.73f, true, wide, {DType::f16, DType::f64});
}

TEST_CASE("scaled_index_add rounds where strict and wide say") {
    const int64_t B = 4, M = 3, D = 37;
    const std::vector<int64_t> rows{3, 1, 3};
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
        const Tensor x = normal_numbers({B, M, D}, 1, dtype), s = normal_numbers({3, M, D}, 2, dtype),
                     c = normal_numbers({D}, 3, dtype);
        for (const BoundaryMode mode : {BoundaryMode::strict, BoundaryMode::wide, BoundaryMode::off}) {
            const bool strict = mode == BoundaryMode::strict, off = mode == BoundaryMode::off;
            const auto enter = [&](double v) {
                return off ? static_cast<float>(v) : through_half(static_cast<float>(v));
            };
            const float alpha = 1.0f / 0.7f;
            const Variable y = scaled_index_add(x, rows_of(rows), s, c, alpha, in_mode(mode));
            CHECK(y.dtype() == dtype);
            const Array ax(x), as(s), ac(c);
            std::vector<float> want(static_cast<size_t>(x.numel()));
            for (int64_t i = 0; i < x.numel(); ++i) {
                const int64_t row = i / (M * D), m = i / D % M, d = i % D;
                float sum = strict ? enter(ax[i]) : static_cast<float>(ax[i]);
                for (size_t b = 0; b < rows.size(); ++b)
                    if (rows[b] == row) {
                        const float scaled =
                            (alpha * enter(ac[d])) * enter(as({static_cast<int64_t>(b), m, d}));
                        sum = scaled + sum;
                    }
                want[size_t(i)] = strict ? through_half(sum) : sum;
            }
            CHECK(same_bits(y.value(), Tensor::from(want, {B, M, D}).to(dtype)) == "");
        }
    }
}

TEST_CASE("scaled_index_add backward rounds where strict and wide say") {
    const int64_t B = 3, M = 2, D = 21;
    const std::vector<int64_t> rows{2, 0};
    const float alpha = 1.7f;
    for (const DType dtype : {DType::f32, DType::bf16}) {
        for (const BoundaryMode mode : {BoundaryMode::strict, BoundaryMode::wide, BoundaryMode::off}) {
            const bool strict = mode == BoundaryMode::strict, off = mode == BoundaryMode::off;
            const auto enter = [&](double v) {
                return off ? static_cast<float>(v) : through_half(static_cast<float>(v));
            };
            const auto leave = [&](float v) { return strict ? through_half(v) : v; };
            const Variable x(normal_numbers({B, M, D}, 1, dtype), true),
                s(normal_numbers({2, M, D}, 2, dtype), true), c(normal_numbers({D}, 3, dtype), true);
            const Variable y = scaled_index_add(x, rows_of(rows), s, c, alpha, in_mode(mode));
            const Tensor dy = normal_numbers({B, M, D}, 4, dtype);
            y.backward(dy);
            const Tensor through = dy.to(DType::f16).to(dtype);
            CHECK(same_bits(x.grad(), strict ? through : dy) == "");
            const Array g(dy), as(s.value()), ac(c.value());
            std::vector<float> ds, dc(static_cast<size_t>(D));
            for (int64_t i = 0; i < 2 * M * D; ++i) {
                const int64_t b = i / (M * D), m = i / D % M, d = i % D;
                const float t = alpha * enter(g({rows[size_t(b)], m, d}));
                ds.push_back(leave(t * enter(ac[d])));
                dc[size_t(d)] = t * enter(as[i]) + dc[size_t(d)];
            }
            for (float& v : dc) v = leave(v);
            CHECK(same_bits(s.grad(), Tensor::from(ds, {2, M, D}).to(dtype)) == "");
            CHECK(same_bits(c.grad(), Tensor::from(dc, {D}).to(dtype)) == "");
        }
    }
}

// The published implementations fail on each of these; see the names.
TEST_CASE("scaled_index_add does right where the originals do not") {
    const auto f16 = DType::f16;
    SUBCASE("no input changes, whatever the dtype") {
        for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
            const Tensor x = normal_numbers({3, 2, 5}, 1, dtype), before = x.clone();
            (void)scaled_index_add(x, rows_of({1}), normal_numbers({1, 2, 5}, 2, dtype));
            CHECK(same_bits(x, before) == "");
        }
    }
    SUBCASE("a leaf that requires a gradient") {
        Variable x(normal_numbers({3, 2, 5}, 1, f16), true);
        scaled_index_add(x, rows_of({1}), normal_numbers({1, 2, 5}, 2, f16))
            .backward(normal_numbers({3, 2, 5}, 3, f16));
        CHECK(x.grad().defined());
    }
    SUBCASE("an expanded gradient: sum().backward()") {
        Variable x(normal_numbers({3, 2, 5}, 1), true), s(normal_numbers({2, 2, 5}, 2), true),
            c(normal_numbers({5}, 3), true);
        const Tensor one = Tensor::full({1, 1, 1}, 1).to(test_device());
        scaled_index_add(x, rows_of({2, 0}), s, c, 2, in_mode(BoundaryMode::off))
            .backward(one.expand({3, 2, 5}));
        CHECK(compare(x.grad(), Tensor::full({3, 2, 5}, 1), {}) == "");
        CHECK(compare(s.grad().select(0, 1).select(0, 1),
                      Tensor::from(Array(c.value()).data, {5}).to(DType::f32), {0, 3}) == "");
    }
    SUBCASE("widths that are no multiple of 256, sliced sources, strides that differ") {
        const Tensor x = normal_numbers({3, 2, 193}, 1), wide = normal_numbers({2, 2, 400}, 2),
                     c = normal_numbers({386}, 3);
        const Tensor s = wide.slice(2, 3, 196), cs = c.slice(0, 0, 386, 2);
        CHECK(same_bits(scaled_index_add(x, rows_of({2, 1}), s, cs).value(),
                        scaled_index_add(x, rows_of({2, 1}), s.clone(), cs.clone()).value()) == "");
        const Tensor t = x.transpose(0, 1).clone().transpose(0, 1);
        CHECK(same_bits(scaled_index_add(t, rows_of({2, 1}), s, cs).value(),
                        scaled_index_add(x, rows_of({2, 1}), s, cs).value()) == "");
    }
    SUBCASE("more source rows than input rows, named again and again") {
        const Tensor y = scaled_index_add(Tensor::zeros({1, 1, 3}).to(test_device()), rows_of({0, 0, 0, 0}),
                                          Tensor::full({4, 1, 3}, 0.25).to(test_device()))
                             .value();
        CHECK(compare(y, Tensor::full({1, 1, 3}, 1), {}) == "");
    }
    SUBCASE("the gradient of scaling: no [Bi, M, D] temporary, summed in f32 beyond 65504") {
        if (!test_device().is_cpu()) return;
        const int64_t Bi = 64, M = 64, D = 256;
        Variable x(Tensor::zeros({Bi, M, D}, f16)), s(Tensor::full({Bi, M, D}, 8, f16)),
            c(Tensor::full({D}, 1, f16), true);
        const Variable y = scaled_index_add(x, Tensor::arange(Bi), s, c, 1, in_mode(BoundaryMode::wide));
        const Tensor dy = Tensor::full({Bi, M, D}, 1, f16);
        reset_peak();
        const int64_t before = allocator_stats().live_bytes;
        y.backward(dy);
        CHECK(allocator_stats().peak_bytes - before < 200000);
        CHECK(compare(c.grad(), Tensor::full({D}, Bi * M * 8), {}) == "");
    }
}

TEST_CASE("scaled_index_add in wide mode leaves rows that are not named as they were") {
    Generator generator{5};
    const Tensor x = hard_numbers({4, 3, 9}, DType::f32, generator);
    const Tensor y =
        scaled_index_add(x, rows_of({2}), normal_numbers({1, 3, 9}, 2), {}, 1, in_mode(BoundaryMode::wide))
            .value();
    for (const int64_t row : {0, 1, 3}) CHECK(same_bits(y.select(0, row), x.select(0, row)) == "");
}

TEST_CASE("scaled_index_add in place gives the same bits") {
    Generator generator{6};
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f64})
        for (const BoundaryMode mode : {BoundaryMode::strict, BoundaryMode::wide, BoundaryMode::off})
            for (const uint32_t layout : {0u, 1u}) {
                const Tensor x = hard_numbers({4, 3, 90}, dtype, generator, true),
                             s = normal_numbers({3, 3, 90}, 2, dtype), c = normal_numbers({90}, 3, dtype),
                             index = rows_of({3, 1, 3});
                const Tensor want = scaled_index_add(x, index, s, c, 0.3f, in_mode(mode)).value();
                const Tensor mine = laid_out(x.clone(), layout);
                scaled_index_add_(mine, index, s, c, 0.3f, in_mode(mode));
                CHECK(same_bits(mine, want) == "");
            }
    const Tensor x = normal_numbers({4, 3, 8}, 1);
    CHECK_THROWS_WITH_AS(scaled_index_add_(x.slice(0, 0, 2), rows_of({0}), x.slice(0, 1, 2)),
                         doctest::Contains("source must not share memory with input"), Error);
    scaled_index_add_(x.slice(0, 0, 2), rows_of({0}), x.slice(0, 2, 3));
}

TEST_CASE("scaled_index_add makes no fp16 copy of f32 operands") {
    if (!test_device().is_cpu()) return;
    const Tensor x = normal_numbers({16, 8, 256}, 1), s = normal_numbers({9, 8, 256}, 2),
                 c = normal_numbers({256}, 3);
    const Tensor index = Tensor::arange(9);
    (void)scaled_index_add(x, index, s, c);
    const AllocatorStats before = allocator_stats();
    reset_peak();
    const Variable y = scaled_index_add(x, index, s, c);
    CHECK(allocator_stats().allocations == before.allocations + 1);
    CHECK(allocator_stats().peak_bytes - before.live_bytes == x.numel() * 4);
    scaled_index_add_(x, index, s, c);
    CHECK(allocator_stats().allocations == before.allocations + 1);
}

TEST_CASE("scaled_index_add refuses") {
    if (!test_device().is_cpu()) return;
    const Tensor x = Tensor::zeros({3, 2, 4}), s = Tensor::zeros({1, 2, 4}), c = Tensor::zeros({4}),
                 i = rows_of({0});
    const auto refused = [](const Tensor& a, const Tensor& l, const Tensor& b, const Tensor& d,
                            const char* why) {
        CHECK_THROWS_WITH_AS(scaled_index_add(a, l, b, d), doctest::Contains(why), Error);
    };
    refused(x.view({6, 4}), i, s, c,
            "[scaled_index_add] input must be a floating-point tensor [B, M, D]: got input f32 (6, 4) on "
            "cpu, index i64 (1,) on cpu");
    refused(x, i, s.slice(1, 0, 1), c, "source must be a floating-point tensor [rows, 2, 4]");
    refused(x, i, s.to(DType::i64), c, "source must be a floating-point tensor [rows, 2, 4]");
    refused(x, i, s, c.slice(0, 0, 3), "scaling must be a floating-point tensor [4]");
    refused(x, rows_of({0, 1}), s, c, "index must name one row of input for each of source's 1");
    refused(x, rows_of({3}), s, c, "[scaled_index_add] index[0] = 3 is not a row: there are 3 rows (from 0)");
    refused(x, rows_of({-1}), s, c, "[scaled_index_add] index[0] = -1 is not a row");
    refused(x, i.to(DType::f32), s, c, "index must be i64 or i32: got f32");
}

}  // namespace demi::test
