#include "ops/boundary/boundary.h"

#include <doctest/doctest.h>

#include <thread>

#include "ops/boundary/crossing.h"
#include "ops/index_select_cat/index_select_cat.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "tests/ops/counters.h"
#include "tests/ops/index_support.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"

namespace demi::test {
namespace {

const float kInf = std::numeric_limits<float>::infinity();

BoundaryRow row_of(const std::string& site, const std::string& operand,
                   Direction direction = Direction::forward) {
    for (const BoundaryRow& row : boundary_counters())
        if (row.site == site && row.operand == operand && row.direction == direction) return row;
    return {};
}

}  // namespace

TEST_CASE("the block routines cast, count and find the maximum like the definition") {
    Generator generator{3};
    for (const int64_t n : {1, 2, 7, 15, 16, 17, 31, 33, 1000, 1024, 1025, 3001})
        for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
            for (const int64_t step : {1, 2})
                for (const float scale : {1.0f, 0x1p10f, 0x1p-3f})
                    for (const bool saturate : {false, true}) {
                        const Tensor x = hard_numbers({n * step + 3}, dtype, generator)
                                             .to(Device::cpu())
                                             .slice(0, 3, 3 + n * step, step);
                        const Cast cast{scale, 1 / scale, true, saturate, true};
                        Tensor y = Tensor::empty({n + 5});
                        CastCounters got;
                        const bool streaming = saturate;
                        boundary_on(Device::cpu())
                            .load_row(y.mutable_data<float>() + 5, {x.raw(), dtype}, n, step, cast, &got,
                                      streaming);
                        const Crossed want = by_definition(x, cast);
                        CHECK(same_bits(y.slice(0, 5, n + 5), want.y) == "");
                        CHECK(different(got, want.lost) == "");
                        CHECK(same_bits(cast_from_half(cast_to_half(x, cast), DType::f32, cast.undo),
                                        want.y) == "");
                        CHECK(different(count_cast(x, cast), want.lost) == "");
                        double amax = 0;
                        for (const double v : x.to_vector<double>())
                            if (std::isfinite(v)) amax = std::max(amax, std::fabs(v));
                        CHECK(finite_amax(x) == amax);
                    }
}

TEST_CASE("every value between two halfs is counted by what it becomes") {
    // the neighbours of each threshold
    for (const float at : {65520.0f, 65504.0f, 0x1p-14f, 0x1.ffep-15f, 0x1p-25f, 0x1p-24f, 0.0f, kInf})
        for (int ulp = -2; ulp <= 2; ++ulp) {
            float x = at;
            for (int i = 0; i < std::abs(ulp); ++i) x = std::nextafter(x, ulp < 0 ? -1.0f : kInf);
            const Tensor t = Tensor::full({1}, static_cast<double>(x));
            const Cast cast{1, 1, true, false, true};
            CastCounters got;
            float y;
            boundary_on(Device::cpu()).load_row(&y, {t.raw(), DType::f32}, 1, 1, cast, &got, false);
            CHECK(different(got, by_definition(t, cast).lost) == "");
        }
}

TEST_CASE("the ledger says what each site lost") {
    reset_boundary_counters();
    CHECK(boundary_report() == "nothing crossed the fp16 boundary\n");
    const Tensor x =
        Tensor::from(std::vector<float>{1, 65519, 65520, -1e9f, kInf, 1e-8f, -0.0f, 1e-6f, NAN, 9}, {2, 5})
            .to(test_device());
    const Boundary boundary{.site = "block 3"};
    (void)index_select_cat({x}, {rows_of({0, 1})}, boundary);
    const BoundaryRow row = row_of("block 3", "sources");
    CHECK(row.op == "index_select_cat");
    CHECK(row.calls == 1);
    CHECK(row.counters.elements == 10);
    CHECK(row.counters.to_inf == 3);
    CHECK(row.counters.nan == 1);
    CHECK(row.counters.to_zero == 1);
    CHECK(row.counters.subnormal == 1);
    CHECK(row.counters.amax == double(kInf));
    (void)index_select_cat({x}, {rows_of({0})}, boundary);  // only the rows taken
    CHECK(row_of("block 3", "sources").calls == 2);
    CHECK(row_of("block 3", "sources").counters.elements == 15);
    CHECK(boundary_report().find("block 3 index_select_cat  forward    sources      2        15  6 (40%)") !=
          std::string::npos);

    reset_boundary_counters();
    Boundary quiet = boundary;
    quiet.count = false;
    (void)index_select_cat({x}, {rows_of({0, 1})}, quiet);
    set_boundary_counting(false);
    (void)index_select_cat({x}, {rows_of({0, 1})}, boundary);
    set_boundary_counting(true);
    for (const BoundaryMode mode : {BoundaryMode::wide, BoundaryMode::off})
        (void)index_select_cat({x}, {rows_of({0, 1})}, {.mode = mode});
    (void)index_select_cat({x.to(DType::f64)}, {rows_of({0, 1})}, boundary);
    (void)index_select_cat({x.to(DType::f16)}, {rows_of({0, 1})}, boundary);
    CHECK(boundary_counters().empty());
}

TEST_CASE("the report prints shares and sizes as people read them") {
    // `huge` of `all` values are too large, the first of all is `first`.
    const auto line = [](int64_t huge, int64_t all, float first) {
        std::vector<float> values(static_cast<size_t>(all), 0.5f);
        for (int64_t i = 0; i < huge; ++i) values[static_cast<size_t>(all - 1 - i)] = 65520;
        values[0] = first;
        reset_boundary_counters();
        const Tensor x = Tensor::from(values, {1, all}).to(test_device());
        (void)index_select_cat({x}, {rows_of({0})}, {.site = "s"});
        const std::string report = boundary_report();
        return report.substr(report.find('\n') + 1);
    };
    const auto shows = [&](int64_t huge, int64_t all, float first, const std::string& text) {
        const std::string got = line(huge, all, first);
        CHECK_MESSAGE((has(got, " " + text + " ") || has(got, " " + text + "\n")), got);
    };
    shows(5, 5, 65520, "5 (100%)");
    shows(4, 5, 1, "4 (80%)");
    shows(999, 1000, 1, "999 (>99%)");
    shows(1, 3, 1, "1 (33%)");
    shows(1, 60, 1, "1 (1.7%)");
    shows(1, 1000, 1, "1 (0.1%)");
    shows(1, 70000, 1, "1 (0.0014%)");
    shows(1, 120000, 1, "1 (<0.001%)");
    shows(0, 2, 999.7f, "1000");
    shows(0, 2, 65504, "65504");
    shows(0, 2, 123456, "123456");
    shows(0, 2, 3.3e38f, "3.3e+38");
    shows(0, 2, 0.75f, "0.75");
    shows(2, 2, kInf, "inf");
    reset_boundary_counters();
}

TEST_CASE("several threads write one ledger") {
    reset_boundary_counters();
    const Tensor x = normal_numbers({3, 8}, 1);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (int j = 0; j < 50; ++j) (void)index_select_cat({x}, {rows_of({0})}, {.site = "shared"});
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(row_of("shared", "sources").calls == 200);
    CHECK(row_of("shared", "sources").counters.elements == 1600);
}

TEST_CASE("overflow: propagate, saturate, error") {
    const Tensor x =
        Tensor::from(std::vector<float>{1, 2, 3, 65519, 65520, -1e9f, kInf, NAN}, {2, 4}).to(test_device());
    const auto with = [&](OverflowPolicy policy) {
        return index_select_cat({x.slice(0, 0, 1), x}, {rows_of({0}), rows_of({1})},
                                {.overflow = policy, .site = "here"});
    };
    CHECK(with(OverflowPolicy::propagate).value().to_vector<float>()[4] == kInf);
    const std::vector<float> limited = with(OverflowPolicy::saturate).value().to_vector<float>();
    CHECK(limited[3] == 65504);
    CHECK(limited[4] == 65504);
    CHECK(limited[5] == -65504);
    CHECK(limited[6] == 65504);
    CHECK(limited[7] != limited[7]);
    CHECK_THROWS_WITH_AS(
        with(OverflowPolicy::error),
        "[index_select_cat] overflow at the fp16 boundary of here (forward): sources[1] at (1, 0) is 65520, "
        "at most 65504 fits; 3 of 8 elements do not (OverflowPolicy::error)",
        Error);
    // rows that are not taken lose nothing
    CHECK(index_select_cat({x}, {rows_of({0})}, {.overflow = OverflowPolicy::error}).numel() == x.size(1));

    const Tensor a = Tensor::full({2, 1, 3}, 60000).to(test_device()),
                 b = Tensor::full({1, 1, 3}, 6000).to(test_device());
    const Boundary error{.overflow = OverflowPolicy::error, .count = false};
    CHECK_THROWS_WITH_AS(
        scaled_index_add(a, rows_of({1}), b, {}, 1, error),
        "[scaled_index_add] overflow at the fp16 boundary (forward): the result at (1, 0, 0) is 66000, at "
        "most 65504 fits; 3 of 3 elements do not (OverflowPolicy::error)",
        Error);
    const Tensor before = a.clone();
    CHECK_THROWS_AS(scaled_index_add_(a, rows_of({1}), b, {}, 1, error), Error);
    CHECK(same_bits(a, before) == "");
    CHECK(scaled_index_add(a, rows_of({1}), b, {}, 1, {.overflow = OverflowPolicy::saturate})
              .value()
              .to_vector<float>()[3] == 65504);

    Variable s(b, true);
    const Variable z = scaled_index_add(a, rows_of({1}), s, {}, 0.5f, error);
    CHECK_THROWS_WITH_AS(
        z.backward(Tensor::full({2, 1, 3}, -7e4).to(test_device())),
        "[scaled_index_add] overflow at the fp16 boundary (backward): grad at (0, 0, 0) is -70000, at most "
        "65504 fits; 3 of 3 elements do not (OverflowPolicy::error)",
        Error);
}

TEST_CASE("gradient scale: the choice of k") {
    const GradScale automatic = GradScale::automatic();
    CHECK(GradScale::none().choose(1e-30) == 0);
    CHECK(automatic.choose(0) == 0);
    CHECK(automatic.choose(double(kInf)) == 0);
    CHECK(automatic.choose(std::nan("")) == 0);
    for (const double amax : {1e-8, 3.7, 0.5, 1.0, 65504.0, 1e20, 1e-30, 0x1p14}) {
        const double scaled = std::ldexp(amax, automatic.choose(amax));
        CHECK(scaled >= 0x1p13);
        CHECK(scaled < 0x1p14);
    }
    CHECK(automatic.choose(0x1p-149) == 126);
    CHECK(GradScale::fixed(10).choose(1.0) == 10);
    CHECK(GradScale::fixed(10).choose(1000.0) == 5);  // 1000 * 2^6 would not fit
    CHECK(GradScale::fixed(10).choose(1e6) == 0);
    CHECK(GradScale::fixed(-3).choose(1e6) == -3);
    CHECK(GradScale::fixed(16).choose(0) == 16);
    CHECK(GradScale::fixed(1000).choose(0) == 126);
}

TEST_CASE("gradient scale: small gradients survive the boundary") {
    const int64_t D = 64;
    const auto share_lost = [&](GradScale scale, double sigma) {
        Variable x(normal_numbers({4, 4 * D}, 1), true);
        index_select_cat({x}, {rows_of({0, 1, 2, 3})}, {.grad_scale = scale, .count = false})
            .backward(normal_numbers({16 * D}, 2, DType::f32, sigma));
        int64_t zeros = 0;
        for (const float g : x.grad().to_vector<float>()) zeros += g == 0;
        return double(zeros) / double(16 * D);
    };
    CHECK(share_lost(GradScale::none(), 1e-8) > 0.99);
    CHECK(share_lost(GradScale::none(), 1e-7) > 0.15);
    for (const double sigma : {1e-6, 1e-7, 1e-8, 1e-20, 1e5})
        CHECK(share_lost(GradScale::automatic(), sigma) == 0);
    CHECK(share_lost(GradScale::fixed(30), 1e-8) == 0);
}

TEST_CASE("gradient scale: exact, and it never overflows by itself") {
    // With powers of two everything is exact, so scaling must change nothing at all.
    for (const BoundaryMode mode : {BoundaryMode::strict, BoundaryMode::wide})
        for (const GradScale scale :
             {GradScale::automatic(), GradScale::fixed(12), GradScale::fixed(100), GradScale::fixed(-2)})
            for (const float alpha : {1.0f, 512.0f}) {
                const auto grads = [&](GradScale use) {
                    Variable x(Tensor::full({3, 50, 8}, 1).to(test_device()), true),
                        s(Tensor::full({3, 50, 8}, 2).to(test_device()), true),
                        c(Tensor::full({8}, 4).to(test_device()), true);
                    scaled_index_add(x, rows_of({0, 2, 2}), s, c, alpha, {.mode = mode, .grad_scale = use})
                        .backward(Tensor::full({3, 50, 8}, 0x1p-4).to(test_device()));
                    return std::vector<Tensor>{x.grad(), s.grad(), c.grad()};
                };
                const auto want = grads(GradScale::none()), got = grads(scale);
                for (size_t i = 0; i < 3; ++i) CHECK(same_bits(got[i], want[i]) == "");
            }
    // duplicates: their sum must fit as well
    Variable x(Tensor::zeros({1, 4}).to(test_device()), true);
    index_select_cat({x}, {Tensor::zeros({4096}, DType::i64).to(test_device())},
                     {.grad_scale = GradScale::automatic()})
        .backward(Tensor::full({4096 * 4}, 0x1p-20).to(test_device()));
    CHECK(compare(x.grad(), Tensor::full({1, 4}, 0x1p-8), {}) == "");
    // infinities and NaN pass, and do not hinder the others
    Variable z(Tensor::zeros({1, 3}).to(test_device()), true);
    index_select_cat({z}, {rows_of({0})}, {.grad_scale = GradScale::automatic()})
        .backward(Tensor::from(std::vector<float>{kInf, NAN, 1e-9f}, {3}).to(test_device()));
    const std::vector<float> g = z.grad().to_vector<float>();
    CHECK(g[0] == kInf);
    CHECK(g[1] != g[1]);
    CHECK(std::fabs(g[2] - 1e-9f) < 1e-12f);
}

TEST_CASE("boundary modes by name") {
    for (const BoundaryMode mode : {BoundaryMode::strict, BoundaryMode::wide, BoundaryMode::off})
        CHECK(parse_boundary_mode(name(mode)) == mode);
    CHECK_THROWS_WITH_AS(parse_boundary_mode("Strict"),
                         "[boundary] the mode is strict, wide or off: got 'Strict'", Error);
}

}  // namespace demi::test
