// Counters that stay on a GPU until the ledger is read. On the CPU the same calls are counted at once.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

#include "ops/boundary/crossing.h"
#include "ops/boundary/pending_counts.h"
#include "ops/index_select_cat/index_select_cat.h"
#include "tests/ops/counters.h"
#include "tests/ops/index_support.h"

namespace demi::test {
namespace {

bool is_late() { return !test_device().is_cpu(); }

Tensor here(const std::vector<float>& values) {
    return Tensor::from(values, {static_cast<int64_t>(values.size())}).to(test_device());
}

// One operand across the boundary, as an operator does it.
void cross(const Tensor& x, const Boundary& boundary, const char* operand = "x", int k = 0) {
    const Crossing call("op", boundary, Direction::forward);
    const Cast cast = call.entry(x.dtype(), k);
    CastCounters counters;
    cast_tensor(x, cast, DType::f16, counters);
    call.note(operand, counters, k);
}

BoundaryRow row_of(const std::string& site) {
    for (const BoundaryRow& row : boundary_counters())
        if (row.site == site) return row;
    return {};
}

}  // namespace

TEST_CASE("a GPU's counters arrive when the ledger is read, and operators do not wait for them") {
    reset_boundary_counters();
    const Tensor x = here({1, 65520, -1e9f, NAN, 1e-8f, 1e-6f, 0});
    const Boundary boundary{.site = "late"};
    const Crossing call("op", boundary, Direction::forward);
    const Cast cast = call.entry(DType::f32);
    CastCounters counters;
    cast_tensor(x, cast, DType::f16, counters);
    CHECK((counters.pending != 0) == is_late());
    CHECK(counters.elements == (is_late() ? 0 : 7));
    call.note("x", counters);
    CHECK(pending_rows() == (is_late() ? 1 : 0));
    const std::vector<BoundaryRow> rows = boundary_counters();
    CHECK(pending_rows() == 0);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].calls == 1);
    CHECK(different(rows[0].counters, count_cast(x, cast)) == "");
    CHECK(rows[0].counters.pending == 0);
    CHECK(row_of("late").calls == 1);  // asking again adds nothing
}

TEST_CASE("late counters: exponents, lines in order, calls that lost nothing because nothing crossed") {
    reset_boundary_counters();
    cross(here({3, -5}), {.site = "first"}, "x", 4);
    cross(here({}), {.site = "empty"});
    cross(here({7}), {.site = "second"});
    cross(here({-6}), {.site = "first"}, "x", -2);
    const std::vector<BoundaryRow> rows = boundary_counters();
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].site == "first");
    CHECK(rows[0].calls == 2);
    CHECK(rows[0].counters.elements == 3);
    CHECK(rows[0].counters.amax == 6);  // before scaling
    CHECK(rows[0].min_exponent == -2);
    CHECK(rows[0].max_exponent == 4);
    CHECK(rows[1].site == "second");
    CHECK(rows[1].min_exponent == 0);
    CHECK(rows[1].max_exponent == 0);
}

TEST_CASE("late counters merge with each other and with what the host has counted") {
    reset_boundary_counters();
    const Boundary boundary{.site = "merged"};
    const Crossing call("op", boundary, Direction::forward);
    const Cast cast = call.entry(DType::f32);
    CastCounters counters = count_cast(here({9, 1e9f}), cast), more;
    cast_tensor(here({1, 2, 3}), cast, DType::f16, counters);
    cast_tensor(here({4, 70000}), cast, DType::f16, counters);
    cast_tensor(here({5}), cast, DType::f16, more);
    merge(counters, more);
    call.note("x", counters);
    const BoundaryRow row = row_of("merged");
    CHECK(row.calls == 1);
    CHECK(row.counters.elements == 8);
    CHECK(row.counters.to_inf == 2);
    CHECK(row.counters.amax == 1e9);
}

TEST_CASE("a reset drops what is pending") {
    reset_boundary_counters();
    cross(here({1, 2}), {.site = "dropped"});
    reset_boundary_counters();
    CHECK(pending_rows() == 0);
    CHECK(boundary_counters().empty());
    const Boundary boundary{.site = "kept"};
    const Crossing call("op", boundary, Direction::forward);
    CastCounters counters;
    cast_tensor(here({1, 2, 3}), call.entry(DType::f32), DType::f16, counters);
    reset_boundary_counters();  // the call ends after it
    call.note("x", counters);
    CHECK(boundary_counters().size() == 1);
    CHECK(row_of("kept").counters.elements == 3);
}

TEST_CASE("OverflowPolicy::error reads at once and says where") {
    reset_boundary_counters();
    const Tensor x = Tensor::from(std::vector<float>{1, 2, 3, 65520}, {2, 2}).to(test_device());
    const Boundary boundary{.overflow = OverflowPolicy::error, .site = "strict"};
    (void)index_select_cat({x}, {rows_of({0})}, boundary);
    CHECK(pending_rows() == 0);
    CHECK_THROWS_WITH_AS(index_select_cat({x}, {rows_of({0, 1})}, boundary),
                         "[index_select_cat] overflow at the fp16 boundary of strict (forward): sources[0] "
                         "at (1, 1) is 65520, "
                         "at most 65504 fits; 1 of 4 elements do not (OverflowPolicy::error)",
                         Error);
    CHECK(pending_rows() == 0);
    CHECK(row_of("strict").calls == 2);
    CHECK(row_of("strict").counters.elements == 6);
}

TEST_CASE("thousands of calls stay bounded, and none is lost") {
    reset_boundary_counters();
    const Tensor x = here({1, 1e9f}), nothing = here({});  // which takes a set, but no time
    constexpr int64_t kCalls = 600, kEach = 16;
    static_assert(kCalls * kEach > 2 * kMostPending);
    size_t most = 0;
    for (int64_t i = 0; i < kCalls * kEach; ++i) {
        cross(i % kEach == 0 ? x : nothing, {.site = i % 3 == 0 ? "third" : "others"});
        most = std::max(most, pending_rows());
    }
    CHECK(most == (is_late() ? kMostPending - 1 : 0));
    CHECK(row_of("third").calls == kCalls / 3);
    CHECK(row_of("others").calls == kCalls * 2 / 3);
    CHECK(row_of("others").counters.elements == 2 * row_of("others").calls);
    CHECK(row_of("others").counters.to_inf == row_of("others").calls);
    CHECK(pending_rows() == 0);
}

TEST_CASE("threads count late while another one reads") {
    reset_boundary_counters();
    constexpr int kCalls = 100;
    std::atomic<int> running{2};
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t)
        threads.emplace_back([&, t] {
            const Tensor x = here({static_cast<float>(t + 1)});
            for (int i = 0; i < kCalls; ++i) {
                cross(x, {.site = "shared"});
                cross(x, {.site = "own " + std::to_string(t)});
            }
            --running;
        });
    int64_t before = 0;
    bool grows = true;
    while (running > 0) {
        const int64_t now = row_of("shared").calls;
        grows = grows && now >= before;
        before = now;
    }
    for (std::thread& thread : threads) thread.join();  // their slabs outlive them
    CHECK(grows);
    CHECK(row_of("shared").calls == 2 * kCalls);
    CHECK(row_of("shared").counters.amax == 2);
    CHECK(row_of("own 0").counters.elements == kCalls);
    CHECK(row_of("own 1").counters.amax == 2);
}

}  // namespace demi::test
