// Draws stay within their bounds in every dtype, and where rounding does not reach a bound they are the
// stream's; new tensors of random values.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/parallel.h"
#include "runtime/random.h"
#include "tests/support/check_error.h"
#include "tests/support/env.h"

using namespace demi;
using namespace demi::test;

namespace {

// x rounded to the dtype as a tensor rounds it.
double rounded(double x, DType dtype) {
    return Tensor::full({}, x, dtype == DType::f64 ? dtype : DType::f32).to(dtype).item();
}

// Draws `count` values; none may leave [low, high), and one that differs from the rounded draw must have been
// outside. Gives the number of those.
int64_t corrected(DType dtype, double low, double high, int64_t count) {
    Generator g{11, 5};
    const Tensor t = Tensor::empty({count}, dtype), exact = Tensor::empty({count}, DType::f64);
    uniform(t, g, low, high);
    const std::vector<double> values = t.to_vector<double>();
    std::vector<double> draws;
    for (int64_t i = 0; i < count; ++i)
        draws.push_back(low + (high - low) * double(to_uniform(random_word(11, 5, uint64_t(i)))));
    const std::vector<double> plain =
        (dtype == DType::f64 ? Tensor::from(draws, {count}) : Tensor::from(draws, {count}).to(DType::f32))
            .to(dtype)
            .to_vector<double>();
    int64_t outside = 0, changed = 0;
    for (size_t i = 0; i < values.size(); ++i) {
        outside += !(values[i] >= low && values[i] < high);
        if (values[i] == plain[i]) continue;
        ++changed;
        outside += plain[i] >= low && plain[i] < high;
    }
    CHECK(outside == 0);
    return changed;
}

}  // namespace

TEST_CASE("uniform: never its upper bound, in any dtype; other draws keep their bits") {
    const int64_t n = quick() ? 500000 : 2000000;
    CHECK(corrected(DType::f16, 0, 1, n) > n / 10000);
    CHECK(corrected(DType::bf16, 0, 1, n) > n / 1000);
    CHECK(corrected(DType::f32, 0, 1, n) == 0);
    CHECK(corrected(DType::f64, 0, 1, n) == 0);
    CHECK(corrected(DType::f16, -65504, 65504, n / 10) > 0);
    CHECK(corrected(DType::f16, 0.1, 0.3, n / 10) > 0);
    CHECK(corrected(DType::bf16, -3, -1, n / 10) > 0);
    CHECK(corrected(DType::f16, -0x1p-24, 0x1p-23, n / 10) > 0);
    CHECK(corrected(DType::f32, 1e8, 1e8 + 16, n / 10) > 0);
    CHECK(corrected(DType::f32, 1, 1 + 0x1p-22, n / 10) > 0);
    CHECK(corrected(DType::f64, 1e16, 1e16 + 2, n / 10) > 0);
    CHECK(corrected(DType::f32, -3e38, 3e38, n / 10) >= 0);
    Generator g;
    const Tensor t = Tensor::empty({4}, DType::f16);
    uniform(t, g, 0.1, 0.1);
    CHECK(t.to_vector<double>() == std::vector<double>(4, rounded(0.1, DType::f16)));
}

TEST_CASE("uniform, normal and trunc_normal refuse bounds that make no sense") {
    Generator g;
    const auto refused = [&](const std::string& part, auto fn) {
        const std::string message = error_of(fn);
        CHECK_MESSAGE(has(message, part), message);
    };
    const Tensor x = Tensor::empty({4}, DType::f16), wide = Tensor::empty({4}, DType::f64);
    const double inf = HUGE_VAL, nan = NAN, most = std::numeric_limits<double>::max();
    for (const auto& [low, high] : std::vector<std::pair<double, double>>{
             {1, 0}, {nan, 1}, {0, nan}, {-inf, 0}, {0, inf}, {inf, inf}, {0, 65520}, {-1e5, 0}})
        refused("[uniform] needs low <= high", [&] { uniform(x, g, low, high); });
    refused("[uniform] needs low <= high", [&] { uniform(wide, g, -most, most); });
    refused("[uniform] there is no f16 in [0.1, 0.10001)", [&] { uniform(x, g, 0.1, 0.10001); });
    for (const auto& [mean, std] :
         std::vector<std::pair<double, double>>{{0, -1}, {0, nan}, {nan, 1}, {inf, 1}, {0, inf}})
        refused("[normal] needs a finite mean and std >= 0", [&] { normal(x, g, mean, std); });
    for (const auto& [std, low, high] : std::vector<std::array<double, 3>>{
             {nan, -1, 1}, {1, nan, 1}, {1, -1, nan}, {0, -1, 1}, {-1, -1, 1}, {inf, -1, 1}, {1, 1, 1}})
        refused("[trunc_normal]", [&] { trunc_normal(x, g, 0, std, low, high); });
    refused("[trunc_normal] there is no f16 in", [&] { trunc_normal(x, g, 0.1, 1e-3, 0.1, 0.10001); });
    CHECK(g == Generator{});
    normal(x, g, 2, 0);
    CHECK(x.to_vector<double>() == std::vector<double>(4, 2));
}

TEST_CASE("trunc_normal: within its bounds after rounding, too; other draws keep their bits") {
    const int64_t n = quick() ? 5000 : 100000;
    for (DType dtype : {DType::f16, DType::bf16, DType::f32, DType::f64}) {
        for (const auto& [low, high] : std::vector<std::pair<double, double>>{
                 {-0.1, 0.1}, {-0.3, HUGE_VAL}, {-2, 2}, {-1e6, 1e6}, {0.1, 0.2}}) {
            Generator g{3}, h{3};
            const Tensor t = Tensor::empty({n}, dtype), exact = Tensor::empty({n}, DType::f64);
            trunc_normal(t, g, 0, 1, low, high);
            trunc_normal(exact, h, 0, 1, low, high);
            const std::vector<double> got = t.to_vector<double>(),
                                      plain = exact.to(dtype).to_vector<double>();
            int64_t wrong = 0;
            for (size_t i = 0; i < got.size(); ++i) {
                wrong += !(got[i] >= low && got[i] <= high);
                wrong += got[i] != plain[i] && plain[i] >= low && plain[i] <= high;
            }
            CHECK_MESSAGE(wrong == 0, dtype << " in [" << low << ", " << high << "]");
        }
    }
}

TEST_CASE("rand, randn: a new tensor with the draws of uniform and normal") {
    for (DType dtype : {DType::f16, DType::f32, DType::f64}) {
        Generator a{1}, b{1};
        const Tensor x = rand({3, 5}, a, dtype), y = randn({3, 5}, a, dtype);
        const Tensor u = Tensor::empty({3, 5}, dtype), v = Tensor::empty({3, 5}, dtype);
        uniform(u, b);
        normal(v, b);
        CHECK(x.dtype() == dtype);
        CHECK(x.to_vector<double>() == u.to_vector<double>());
        CHECK(y.to_vector<double>() == v.to_vector<double>());
        CHECK(a == b);
    }
    Generator g;
    CHECK(
        has(error_of([&] { rand({2}, g, DType::i64); }), "[random] needs a floating-point tensor: got i64"));
    CHECK(has(error_of([&] { randn({-1}, g); }), "sizes must not be negative"));
}

TEST_CASE("randint: every number of the range equally often, the same for any threads, dtypes that hold it") {
    Generator g{5};
    const int64_t n = 60000;
    for (const auto& [low, high] : std::vector<std::pair<int64_t, int64_t>>{{0, 1}, {-3, 4}, {250, 256}}) {
        const auto range = static_cast<size_t>(high - low);
        std::vector<int64_t> counts(range, 0);
        for (int64_t x : randint(low, high, {n}, g).to_vector<int64_t>()) {
            REQUIRE((x >= low && x < high));
            ++counts[static_cast<size_t>(x - low)];
        }
        double chi = 0;
        const double expected = double(n) / double(range);
        for (int64_t c : counts) chi += (double(c) - expected) * (double(c) - expected) / expected;
        CHECK(chi < 30);  // at most 6 degrees of freedom
    }
    double mean = 0;
    int64_t negative = 0;
    for (double x : randint(INT64_MIN, INT64_MAX, {n}, g).to_vector<double>()) {
        mean += x / double(n) * 0x1p-63;
        negative += x < 0;
    }
    CHECK(std::fabs(mean) < 0.01);
    CHECK(std::abs(negative - n / 2) < 500);
    CHECK(randint(INT64_MAX - 1, INT64_MAX, {3}, g).to_vector<int64_t>() ==
          std::vector<int64_t>(3, INT64_MAX - 1));
    CHECK(randint(0, 256, {1000}, g, DType::u8).dtype() == DType::u8);
    CHECK(randint(0, 2, {1000}, g, DType::boolean).to_vector<bool>() != std::vector<bool>(1000, false));
    CHECK(randint(-2048, 2049, {1000}, g, DType::f16).dtype() == DType::f16);
    const int before = num_threads();
    std::vector<std::vector<int64_t>> draws;
    for (int threads : {1, 3}) {
        set_num_threads(threads);
        Generator h{9};
        draws.push_back(randint(-5, 1000, {50001}, h).to_vector<int64_t>());
        CHECK(h.offset == 50001);
    }
    set_num_threads(before);
    CHECK(draws[0] == draws[1]);
    for (const auto& [low, high, dtype] :
         std::vector<std::tuple<int64_t, int64_t, DType>>{{0, 257, DType::u8},
                                                          {-1, 1, DType::u8},
                                                          {0, 3, DType::boolean},
                                                          {0, 2050, DType::f16},
                                                          {0, INT64_C(1) << 32, DType::i32},
                                                          {-257, 0, DType::bf16},
                                                          {0, (1 << 24) + 2, DType::f32}})
        CHECK(has(error_of([&] { randint(low, high, {1}, g, dtype); }), "does not hold all whole numbers"));
    CHECK(has(error_of([&] { randint(3, 3, {1}, g); }), "[randint] needs low < high: got 3, 3"));
}
