// Philox against its published vectors; draws against their own definition, for any number of threads.
#include "runtime/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "runtime/parallel.h"
#include "tests/support/check_error.h"

using namespace demi;
using namespace demi::test;

TEST_CASE("Philox-4x32-10: the three published vectors") {
    CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Philox{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
    const uint32_t ones = 0xffffffffu;
    CHECK(philox4x32({ones, ones, ones, ones}, {ones, ones}) ==
          Philox{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
    CHECK(philox4x32({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, {0xa4093822u, 0x299f31d0u}) ==
          Philox{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u});
}

TEST_CASE("streams: word i depends on seed, offset and i only; draws move the offset") {
    const uint64_t seed = 0x0123456789abcdefu;
    for (uint64_t i = 0; i < 40; ++i) {
        const Philox block =
            philox4x32({static_cast<uint32_t>(7 + i / 4), 0, 0, 0}, {0x89abcdefu, 0x01234567u});
        CHECK(random_word(seed, 7, i) == block[i % 4]);
        CHECK(random_word(seed, 7 + i / 4, i % 4) == block[i % 4]);
    }
    CHECK(random_word(seed, (uint64_t{1} << 32) - 1, 4) ==
          philox4x32({0, 1, 0, 0}, {0x89abcdefu, 0x01234567u})[0]);
    Generator g{seed, 0};
    CHECK(g.take(1).offset == 0);
    CHECK(g.offset == 1);
    CHECK(g.take(9).offset == 1);
    CHECK(g.offset == 4);
    CHECK(g.take(0).offset == 4);
    CHECK(g.offset == 4);
    CHECK(to_uniform(0) == 0.0f);
    CHECK(to_uniform(0xffffffffu) == 1 - 0x1p-24f);
    CHECK(to_uniform(0x80000000u) == 0.5f);
}

TEST_CASE("next_below: in range and without bias, also where 2^32 is far from a multiple") {
    Generator g{1, 0};
    for (uint32_t bound : {1u, 2u, 3u, 7u, 10u}) {
        std::vector<int> counts(bound, 0);
        const int draws = 20000;
        for (int i = 0; i < draws; ++i) {
            const uint32_t x = g.next_below(bound);
            REQUIRE(x < bound);
            ++counts[x];
        }
        double chi = 0;
        const double expected = static_cast<double>(draws) / bound;
        for (int c : counts) chi += (c - expected) * (c - expected) / expected;
        CHECK(chi < 30);  // at most 9 degrees of freedom
    }
    // 3/4 of the range: without rejection every third value came twice as often.
    const uint32_t big = 0xc0000000u;
    int thirds = 0;
    for (int i = 0; i < 20000; ++i) thirds += g.next_below(big) % 3 == 0;
    CHECK(std::abs(thirds - 20000 / 3) < 300);
    CHECK(has(error_of([&] { g.next_below(0); }), "bound must be positive"));
    for (int i = 0; i < 1000; ++i) {
        const float u = g.next_uniform();
        CHECK((u >= 0 && u < 1));
    }
}

TEST_CASE("permutation: every number once, every place equally likely") {
    Generator g{2, 0};
    for (int64_t n : {0, 1, 2, 10, 1000}) {
        std::vector<int64_t> order = g.permutation(n);
        std::sort(order.begin(), order.end());
        std::vector<int64_t> want(static_cast<size_t>(n));
        std::iota(want.begin(), want.end(), 0);
        CHECK(order == want);
    }
    std::vector<int> first(24, 0);
    for (int i = 0; i < 12000; ++i) {  // all 24 orders of four
        const std::vector<int64_t> p = g.permutation(4);
        int64_t code = 0;
        for (size_t a = 0; a < 4; ++a) {
            int64_t smaller = 0;
            for (size_t b = a + 1; b < 4; ++b) smaller += p[b] < p[a];
            code = code * static_cast<int64_t>(4 - a) + smaller;
        }
        ++first[static_cast<size_t>(code)];
    }
    double chi = 0;
    for (int c : first) chi += (c - 500.0) * (c - 500.0) / 500.0;
    CHECK(chi < 60);  // 23 degrees of freedom
    Generator a{3, 0}, b{3, 0};
    CHECK(a.permutation(100) == b.permutation(100));
    CHECK(a == b);
    CHECK(a.permutation(100) != a.permutation(100));
    CHECK(has(error_of([&] { g.permutation(-1); }), "length of a permutation"));
}

TEST_CASE("fork: the same purpose gives the same stream, others are independent") {
    const Generator g{4, 0}, later{4, 99};
    CHECK(g.fork(1) == g.fork(1));
    CHECK(g.fork(1) == later.fork(1));
    std::set<uint64_t> seeds{g.seed};
    for (uint64_t purpose = 0; purpose < 1000; ++purpose) seeds.insert(g.fork(purpose).seed);
    CHECK(seeds.size() == 1001);
    Generator a = g.fork(1), b = g.fork(2), c = g;
    const int64_t n = 20000;
    Tensor x = Tensor::empty({n}, DType::f64), y = Tensor::empty({n}, DType::f64),
           z = Tensor::empty({n}, DType::f64);
    normal(x, a);
    normal(y, b);
    normal(z, c);
    double xy = 0, xz = 0;
    for (int64_t i = 0; i < n; ++i) {
        xy += x.data<double>()[i] * y.data<double>()[i];
        xz += x.data<double>()[i] * z.data<double>()[i];
    }
    CHECK(std::fabs(xy / static_cast<double>(n)) < 0.03);
    CHECK(std::fabs(xz / static_cast<double>(n)) < 0.03);
}

TEST_CASE("normal and uniform: moments, tails, bounds") {
    Generator g{5, 0};
    const int64_t n = 200000;
    Tensor x = Tensor::empty({n}, DType::f64);
    normal(x, g, 3, 2);
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
    int64_t beyond = 0;
    const double count = static_cast<double>(n);
    for (double v : x.to_vector<double>()) {
        const double z = (v - 3) / 2;
        m1 += z / count;
        m2 += z * z / count;
        m3 += z * z * z / count;
        m4 += z * z * z * z / count;
        beyond += std::fabs(z) > 3;
    }
    CHECK(std::fabs(m1) < 0.01);
    CHECK(std::fabs(m2 - 1) < 0.015);
    CHECK(std::fabs(m3) < 0.03);
    CHECK(std::fabs(m4 - 3) < 0.1);
    CHECK(std::fabs(static_cast<double>(beyond) / count - 0.0027) < 0.0006);
    Tensor u = Tensor::empty({n});
    uniform(u, g, -1, 1);
    double mean = 0, square = 0;
    for (float v : u.to_vector<float>()) {
        REQUIRE((v >= -1 && v < 1));
        mean += static_cast<double>(v) / count;
        square += static_cast<double>(v) * static_cast<double>(v) / count;
    }
    CHECK(std::fabs(mean) < 0.005);
    CHECK(std::fabs(square - 1.0 / 3) < 0.005);
}

TEST_CASE("trunc_normal: within its bounds, and not piled up at them") {
    Generator g{6, 0};
    Tensor x = Tensor::empty({50000}, DType::f64);
    trunc_normal(x, g, 0, 1, -0.5, 2);
    double mean = 0;
    int at_bounds = 0;
    for (double v : x.to_vector<double>()) {
        REQUIRE((v >= -0.5 && v <= 2));
        mean += v / 50000;
        at_bounds += v == -0.5 || v == 2;
    }
    CHECK(at_bounds < 3);
    CHECK(std::fabs(mean - 0.44575) < 0.01);  // (phi(-0.5) - phi(2)) / (Phi(2) - Phi(-0.5))
    CHECK(has(error_of([&] { trunc_normal(x, g, 0, 1, 2, 1); }), "needs low < high and std > 0"));
    CHECK(has(error_of([&] { trunc_normal(x, g, 0, 1, 50, 60); }), "leave almost nothing"));
    const Tensor ints = Tensor::zeros({3}, DType::i32);
    CHECK(has(error_of([&] { normal(ints, g); }),
              "[random] needs a floating-point tensor: got i32 (3,) on cpu"));
    CHECK(has(error_of([&] { trunc_normal(ints, g, 0, 1, -2, 2); }), "needs a floating-point tensor"));
    CHECK(has(error_of([&] { uniform(Tensor(), g); }),
              "needs a floating-point tensor: got an undefined tensor"));
}

TEST_CASE("draws are the same for 1, 2, 3 and 8 threads, and for any strides") {
    const int before = num_threads();
    std::vector<std::vector<float>> draws;
    for (int threads : {1, 2, 3, 8}) {
        set_num_threads(threads);
        Generator g{7, 11};
        Tensor a = Tensor::empty({333, 201}), b = Tensor::empty({70001}), c = Tensor::empty({50001});
        normal(a, g);
        uniform(b, g);
        trunc_normal(c, g, 0, 1, -2, 2);
        std::vector<float> all = a.to_vector<float>();
        for (const Tensor* t : {&b, &c})
            for (float v : t->to_vector<float>()) all.push_back(v);
        all.push_back(static_cast<float>(g.offset));
        draws.push_back(std::move(all));
    }
    set_num_threads(before);
    for (const auto& draw : draws) CHECK(draw == draws[0]);
    Generator g{7, 11}, h{7, 11};
    Tensor straight = Tensor::empty({5, 7}), turned = Tensor::empty({7, 5}).transpose(0, 1);
    normal(straight, g);
    normal(turned, h);
    CHECK(straight.to_vector<float>() == turned.to_vector<float>());
    Tensor half = Tensor::empty({5, 7}, DType::f16);
    Generator k{7, 11};
    normal(half, k);
    CHECK(half.to_vector<float>() == straight.to(DType::f16).to_vector<float>());
}
