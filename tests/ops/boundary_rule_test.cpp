// The table of ops/boundary/boundary.h, read off the three operators: operand dtype, mode and
// the first operand's dtype say how an operand is read, what is counted, what is refused, and
// which dtype its gradient has.
#include <doctest/doctest.h>

#include "ops/index_select_cat/index_select_cat.h"
#include "ops/memory_efficient_attention/memory_efficient_attention.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "tests/ops/index_support.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"

namespace demi::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
const DType kFloats[] = {DType::f16, DType::bf16, DType::f32, DType::f64};
const BoundaryMode kModes[] = {BoundaryMode::strict, BoundaryMode::wide, BoundaryMode::off};

// Numbers that give one result where they are rounded once and another where they pass through f32 or bf16,
// and ones that fp16 does not hold.
const double kHard[] = {1 + 0x1p-11 + 0x1p-30,
                        -(1 + 0x1p-8 + 0x1p-40),
                        1000.25,
                        0x1p-25 * (1 + 0x1p-30),
                        65519.9999999,
                        65520,
                        1e5,
                        -1e300,
                        1e-9,
                        1e-300,
                        6e-6,
                        -0.0,
                        kInf,
                        -kInf,
                        NAN};

double rounded(double x, DType dtype) { return Tensor::full({1}, x, DType::f64).to(dtype).item(); }

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

// One operand of one operator. probe() makes everything else so plain that the result tells
// how the operand was read.
struct Probe {
    std::string op, operand;
    bool exempt_in_wide;  // not rounded in wide
    bool through_first;   // a copy: goes to the result's dtype where nothing is rounded
    bool leaves;          // what probe() returns left as a result does, in the first operand's dtype
    Variable (*run)(const Variable& x, DType first, const Boundary& boundary);
};

Variable plain(double value, const Shape& shape, DType dtype) {
    return Tensor::full(shape, value, dtype).to(test_device());
}

Variable select(const Variable& x, DType first, const Boundary& b) {
    return index_select_cat({plain(0, {1, 1}, first), x}, {rows_of({}), rows_of({0})}, b);
}
Variable add_source(const Variable& x, DType first, const Boundary& b) {
    return scaled_index_add(plain(0, {1, 1, 1}, first), rows_of({0}), x, {}, 1, b);
}
Variable add_scaling(const Variable& x, DType first, const Boundary& b) {
    return scaled_index_add(plain(0, {1, 1, 1}, first), rows_of({0}), plain(1, {1, 1, 1}, first), x, 1, b);
}
// One key: its score is the log-sum-exp, its value the result.
AttentionWithLse attend(const Variable& k, const Variable& v, const AttentionBias& bias, DType first,
                        const Boundary& b) {
    AttentionOptions options;
    options.scale = 1;
    options.boundary = b;
    return attention_with_lse(plain(1, {1, 1, 1, 1}, first), k, v, bias, options);
}
Variable attend_k(const Variable& x, DType first, const Boundary& b) {
    return attend(x, plain(1, {1, 1, 1, 1}, first), {}, first, b).lse;
}
Variable attend_v(const Variable& x, DType first, const Boundary& b) {
    return attend(plain(0, {1, 1, 1, 1}, first), x, {}, first, b).out;
}
Variable attend_bias(const Variable& x, DType first, const Boundary& b) {
    return attend(plain(0, {1, 1, 1, 1}, first), plain(1, {1, 1, 1, 1}, first), x, first, b).lse;
}

const Probe kProbes[] = {{"index_select_cat", "sources", true, true, true, select},
                         {"scaled_index_add", "source", false, false, true, add_source},
                         {"scaled_index_add", "scaling", false, false, true, add_scaling},
                         {"memory_efficient_attention", "k", false, false, false, attend_k},
                         {"memory_efficient_attention", "v", false, false, true, attend_v},
                         {"memory_efficient_attention", "bias", false, false, false, attend_bias}};

Shape shape_of(const Probe& p) {
    if (p.op == "index_select_cat") return {1, 1};
    if (p.operand == "scaling") return {1};
    return p.op == "scaled_index_add" ? Shape{1, 1, 1} : Shape{1, 1, 1, 1};
}

bool to_fp16(const Probe& p, DType operand, DType first, BoundaryMode mode) {
    if (first == DType::f64 || operand == DType::f16 || mode == BoundaryMode::off) return false;
    return mode == BoundaryMode::strict || !p.exempt_in_wide;
}

// The table.
double read_as(const Probe& p, double x, DType operand, DType first, BoundaryMode mode) {
    if (to_fp16(p, operand, first, mode)) return rounded(x, DType::f16);
    if (p.through_first && mode != BoundaryMode::strict) return rounded(x, first);
    return first != DType::f64 && operand == DType::f64 ? rounded(x, DType::f32) : x;
}
double left_as(const Probe& p, double x, DType first, BoundaryMode mode) {
    if (!p.leaves || first == DType::f64) return x;
    return rounded(mode == BoundaryMode::strict ? rounded(x, DType::f16) : x, first);
}

BoundaryRow row_of(const std::string& operand) {
    for (const BoundaryRow& row : boundary_counters())
        if (row.operand == operand && row.direction == Direction::forward) return row;
    return {};
}

template <class F> void for_each_case(F&& fn) {
    for (const Probe& p : kProbes)
        for (const DType first : kFloats)
            for (const DType operand : kFloats)
                for (const BoundaryMode mode : kModes) {
                    CAPTURE(p.op);
                    CAPTURE(p.operand);
                    CAPTURE(first);
                    CAPTURE(operand);
                    CAPTURE(mode);
                    fn(p, first, operand, mode);
                }
}

}  // namespace

TEST_CASE("the boundary's table: how an operand is read, and what is counted") {
    Sample taken(29);
    for_each_case([&](const Probe& p, DType first, DType operand, BoundaryMode mode) {
        for (const double hard : kHard) {
            if (!taken()) continue;
            const double x = rounded(hard, operand);
            const double read = read_as(p, x, operand, first, mode);
            // f32 has no result for a single score beyond its range, or for infinite ones
            if (!p.leaves && !(std::fabs(read) < 1e37)) continue;
            CAPTURE(x);
            for (const bool explicitly : {false, true}) {
                reset_boundary_counters();
                const Boundary boundary{.mode = mode, .explicit_casts = explicitly};
                const Variable y = p.run(plain(x, shape_of(p), operand), first, boundary);
                const double got = y.value().item(), want = left_as(p, read, first, mode);
                if (p.leaves) {
                    CHECK(y.dtype() == first);
                    CHECK_MESSAGE(same(got, want), got, " for ", want);
                } else {  // through log2(e) and back
                    CHECK(std::fabs(got - want) <= std::fabs(want) * 1e-6);
                }
                const CastCounters c = row_of(p.operand).counters;
                const double size = std::fabs(x);
                const bool counted = to_fp16(p, operand, first, mode);
                CHECK(c.elements == counted);
                CHECK(c.to_inf == (counted && size >= 65520));
                CHECK(c.nan == (counted && std::isnan(x)));
                CHECK(c.to_zero == (counted && size != 0 && size <= 0x1p-25));
                CHECK(c.subnormal == (counted && size > 0x1p-25 && size < 0x1p-14 - 0x1p-25));
                CHECK(c.amax == (counted && !std::isnan(x) ? size : 0));
            }
        }
    });
}

TEST_CASE("the boundary's table: what OverflowPolicy refuses and limits") {
    Sample taken(7);
    for_each_case([&](const Probe& p, DType first, DType operand, BoundaryMode mode) {
        if (!taken()) return;
        for (const double hard : {65519.9999999, 65520.0, 1e5, -7e4}) {
            const double x = rounded(hard, operand);
            if (std::isinf(x)) continue;
            CAPTURE(x);
            for (const bool explicitly : {false, true}) {
                Boundary boundary{
                    .mode = mode, .overflow = OverflowPolicy::error, .explicit_casts = explicitly};
                const Variable v = plain(x, shape_of(p), operand);
                const std::string error = error_of([&] { p.run(v, first, boundary); });
                const bool casts = to_fp16(p, operand, first, mode);
                if (casts && std::fabs(x) >= 65520) {
                    CHECK(has(error, "[" + p.op + "] overflow at the fp16 boundary (forward): " + p.operand));
                    CHECK(has(error, x == 1e5 ? " is 100000, at most 65504 fits; 1 of 1" : "1 of 1"));
                } else if (mode != BoundaryMode::strict) {  // there a result may overflow
                    CHECK(error == "");
                }
                boundary.overflow = OverflowPolicy::saturate;
                const double read = read_as(p, x, operand, first, mode);
                const double limited = casts ? std::clamp(read, -65504.0, 65504.0) : read;
                const double left = left_as(p, limited, first, mode);
                const bool saturates = p.leaves && first != DType::f64 && mode == BoundaryMode::strict;
                const double want = saturates ? rounded(std::clamp(left, -65504.0, 65504.0), first) : left;
                const double got = p.run(v, first, boundary).value().item();
                CHECK_MESSAGE((p.leaves ? got == want : std::fabs(got - want) <= std::fabs(want) * 1e-6), got,
                              " for ", want);
            }
        }
    });
}

TEST_CASE("the boundary's table: an operand's gradient has its dtype, and what f32 holds of it") {
    Sample taken(5);
    for_each_case([&](const Probe& p, DType first, DType operand, BoundaryMode mode) {
        if (!taken()) return;
        for (const bool explicitly : {false, true}) {
            const Boundary boundary{.mode = mode, .explicit_casts = explicitly};
            const Variable x(Tensor::full(shape_of(p), 0.5, operand).to(test_device()), true);
            p.run(x, first, boundary).backward();
            CHECK(x.grad().dtype() == operand);
            CHECK(x.grad().item() == 1);
        }
    });
    // A sum that bf16 and f16 do not hold, for an f64 operand beside them.
    for (const DType first : {DType::bf16, DType::f16, DType::f32})
        for (const BoundaryMode mode : {BoundaryMode::wide, BoundaryMode::off})
            for (const bool explicitly : {false, true}) {
                CAPTURE(first);
                CAPTURE(mode);
                const Boundary boundary{.mode = mode, .explicit_casts = explicitly};
                const double third = static_cast<double>(1.0f / 3), fifth = static_cast<double>(0.2f);
                Variable s(normal_numbers({2, 1, 3}, 1, DType::f64), true);
                scaled_index_add(plain(0, {4, 1, 3}, first), rows_of({1, 3}), s, {}, 1.0f / 3, boundary)
                    .backward(Tensor::full({4, 1, 3}, 1, first).to(test_device()));
                for (const double g : s.grad().to_vector<double>()) CHECK(g == third);
                Variable c(plain(1, {3}, DType::f64).value(), true);
                scaled_index_add(plain(0, {4, 1, 3}, first), rows_of({1}), plain(1, {1, 1, 3}, first), c,
                                 0.2f, boundary)
                    .backward(Tensor::full({4, 1, 3}, 1, first).to(test_device()));
                for (const double g : c.grad().to_vector<double>()) CHECK(g == fifth);
                Variable m(plain(1, {1, 1}, DType::f64).value(), true);
                index_select_cat({plain(0, {1, 1}, first), m}, {rows_of({}), rows_of({0, 0})}, boundary)
                    .backward(Tensor::from(std::vector<float>{1, 0x1p-20f}, {2}).to(first).to(test_device()));
                CHECK(m.grad().item() == 1 + rounded(0x1p-20, first));

                // Two keys of equal scores: dbias = +-(v0 - v1) / 4.
                Variable b(plain(0, {1, 1, 1, 2}, DType::f64).value(), true);
                const Tensor v =
                    Tensor::from(std::vector<float>{1, 0x1p-7f}, {1, 2, 1, 1}).to(first).to(test_device());
                const Variable q = plain(0, {1, 1, 1, 1}, first), k = plain(0, {1, 2, 1, 1}, first);
                AttentionOptions options;
                options.boundary = boundary;
                memory_efficient_attention(q, k, v, b, options).backward();
                const double want = (1 - 0x1p-7) / 4;
                for (const double g : b.grad().to_vector<double>())
                    CHECK(std::fabs(std::fabs(g) - want) <= (real_gpu() ? 1e-4 : 1e-6));
            }
}

}  // namespace demi::test
