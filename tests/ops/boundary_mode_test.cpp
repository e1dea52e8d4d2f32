// The first table of ops/boundary/boundary.h, read off the three operators: what each mode rounds.
#include <doctest/doctest.h>

#include "ops/index_select_cat/index_select_cat.h"
#include "ops/memory_efficient_attention/memory_efficient_attention.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "tests/ops/index_support.h"

namespace demi::test {

static Variable plain(double value, const Shape& shape, DType dtype) {
    return Tensor::full(shape, value, dtype).to(test_device());
}

TEST_CASE("the boundary's table: what each mode rounds") {
    struct Rule {
        BoundaryMode mode;
        bool operands, accumulators, result, gradients;
    };
    constexpr Rule kRules[] = {{BoundaryMode::strict, true, true, true, true},
                               {BoundaryMode::wide, true, false, false, false},
                               {BoundaryMode::off, false, false, false, false}};
    constexpr double kFine = 1 + 0x1p-12;  // fp16 has 1
    const auto numbers = [](const std::vector<float>& values, const Shape& shape) {
        return Tensor::from(values, shape).to(test_device());
    };
    for (const Rule& rule : kRules)
        for (const bool explicitly : {false, true}) {
            CAPTURE(rule.mode);
            CAPTURE(explicitly);
            const Boundary boundary{.mode = rule.mode, .explicit_casts = explicitly};
            const auto rounded_if = [](bool rounds) { return rounds ? 1 : kFine; };
            const auto fine = [](const Shape& shape) {
                return Variable(plain(kFine, shape, DType::f32).value(), true);
            };
            const auto value = [](const Variable& y) { return y.value().to_vector<float>()[0]; };
            const auto gradient = [](const Variable& x) { return x.grad().to_vector<float>()[0]; };
            const Variable zero = plain(0, {1, 1, 1}, DType::f32), one = plain(1, {1, 1, 1}, DType::f32);
            const Variable tiny = plain(0x1p-12, {1, 1, 1}, DType::f32);
            const Tensor first = rows_of({0}), fine_dy = fine({1, 1, 1}).value();

            // scaled_index_add: a row that is not named is input itself
            CHECK(value(scaled_index_add(fine({1, 1, 1}), rows_of({}), plain(0, {0, 1, 1}, DType::f32), {}, 1,
                                         boundary)) == rounded_if(rule.accumulators));
            const double entered = rounded_if(rule.operands || rule.result);
            CHECK(value(scaled_index_add(zero, first, fine({1, 1, 1}), {}, 1, boundary)) == entered);
            CHECK(value(scaled_index_add(zero, first, one, fine({1}), 1, boundary)) == entered);
            CHECK(value(scaled_index_add(one, first, tiny, {}, 1, boundary)) == rounded_if(rule.result));
            Variable input(one.value(), true), source(one.value(), true);
            scaled_index_add(input, first, source, {}, 1, boundary).backward(fine_dy);
            CHECK(gradient(input) == rounded_if(rule.accumulators));
            CHECK(gradient(source) == rounded_if(rule.operands || rule.gradients));
            Variable other(one.value(), true);
            scaled_index_add(one, first, other, {}, static_cast<float>(kFine), boundary)
                .backward(one.value());
            CHECK(gradient(other) == rounded_if(rule.gradients));

            // index_select_cat: a row that is taken twice
            Variable matrix = fine({1, 1});
            const Variable taken = index_select_cat({matrix}, {rows_of({0, 0})}, boundary);
            CHECK(value(taken) == rounded_if(rule.accumulators));
            taken.backward(numbers({1, 0x1p-12f}, {2}));
            CHECK(gradient(matrix) == rounded_if(rule.gradients));

            // attention of two queries to one key: out = v, dv = the sum of dout
            const Variable q = plain(0, {1, 2, 1, 1}, DType::f32), k = plain(0, {1, 1, 1, 1}, DType::f32);
            Variable v = fine({1, 1, 1, 1});
            AttentionOptions options;
            options.boundary = boundary;
            const Variable out = memory_efficient_attention(q, k, v, {}, options);
            CHECK(value(out) == entered);
            out.backward(numbers({1, 0x1p-12f}, {1, 2, 1, 1}));
            CHECK(gradient(v) == rounded_if(rule.gradients));
            // and to two keys: out = the mean of their values
            const Variable mean = memory_efficient_attention(
                q, plain(0, {1, 2, 1, 1}, DType::f32), numbers({1, 1 + 0x1p-10f}, {1, 2, 1, 1}), {}, options);
            CHECK(value(mean) == (rule.result ? 1 : 1 + 0x1p-11));
        }
}

}  // namespace demi::test
