// copy, fill, accumulate and all_finite over every pair of dtypes and all kinds of strides.
#include "runtime/copy.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <span>

#include "tests/runtime/naive.h"
#include "tests/runtime/reference.h"
#include "tests/support/check_error.h"
#include "tests/support/env.h"

using namespace demi;
using namespace demi::test;

namespace {

constexpr DType kAll[] = {DType::f16, DType::bf16, DType::f32, DType::f64,
                          DType::i32, DType::i64,  DType::u8,  DType::boolean};
constexpr DType kFloats[] = {DType::f16, DType::bf16, DType::f32, DType::f64};

// What element `place` of the buffer holds, as a double (exact for every value that these tests store).
double value_at(const Tensor& t, int64_t place) {
    const void* base = t.buffer()->data();
    return dispatch_all(t.dtype(), "test", [&]<class T>() -> double {
        const T x = static_cast<const T*>(base)[place];
        if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
            return static_cast<double>(static_cast<float>(x));
        else
            return static_cast<double>(x);
    });
}

std::vector<double> memory_of(const Tensor& t) {
    std::vector<double> all;
    for (int64_t i = 0; i < static_cast<int64_t>(t.buffer()->bytes() / size_of(t.dtype())); ++i)
        all.push_back(value_at(t, i));
    return all;
}

double widen(uint16_t bits, DType dtype) {
    return static_cast<double>(dtype == DType::f16 ? f16_bits_to_f32(bits) : bf16_bits_to_f32(bits));
}

// x rounded once to a float dtype, by the reference.
double rounded(double x, DType dtype) {
    if (dtype == DType::f64) return x;
    if (dtype == DType::f32) return static_cast<double>(static_cast<float>(x));
    if (std::isnan(x)) return x;
    return widen(dtype == DType::f16 ? reference_narrow_f64(x, 10, 5) : reference_narrow_f64(x, 7, 8), dtype);
}

double converted(double x, DType dtype) {
    switch (dtype) {
    case DType::boolean: return x != 0;
    case DType::u8: return std::isnan(x) ? 0 : std::trunc(std::fmin(std::fmax(x, 0), 255));
    case DType::i32:
        return std::isnan(x) ? 0 : std::trunc(std::fmin(std::fmax(x, -2147483648.0), 2147483647.0));
    case DType::i64: return std::isnan(x) ? 0 : std::trunc(x);
    default: return rounded(x, dtype);
    }
}

void randomize(const Tensor& t, Random& random, double span) {
    Tensor whole = t.as_strided({static_cast<int64_t>(t.buffer()->bytes() / size_of(t.dtype()))}, {1}, 0);
    dispatch_all(t.dtype(), "test", [&]<class T>() {
        T* data = whole.mutable_data<T>();
        for (int64_t i = 0; i < whole.numel(); ++i) {
            const double x = static_cast<double>(below(random, 2000) - 1000) / 1000 * span;
            if constexpr (std::is_same_v<T, uint8_t>)
                data[i] = static_cast<uint8_t>(std::fabs(x));
            else if constexpr (std::is_same_v<T, bool>)
                data[i] = x > 0;
            else
                data[i] = static_cast<T>(static_cast<float>(x));
        }
    });
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

}  // namespace

// run(dst, src) on views of any dtypes and strides: value(what was there, src's element, to, from) stands at dst's places,
// and all else is as it was.
template <class Run, class Value>
static void check_writes(Random& random, std::span<const DType> dtypes, double src_size, double dst_size,
                         const Run& run, const Value& value) {
    for (DType to : dtypes)
        for (DType from : dtypes) {
            const Shape shape = random_shape(random);
            const Tensor dst = random_view(random, shape, to, true),
                         src = random_view(random, shape, from, false);
            randomize(src, random, src_size);
            randomize(dst, random, dst_size);
            std::vector<double> want = memory_of(dst);
            const std::vector<int64_t> out = places(dst), in = places(src);
            for (size_t i = 0; i < out.size(); ++i) {
                double& x = want[static_cast<size_t>(out[i])];
                x = value(x, value_at(src, in[i]), to, from);
            }
            run(dst, src);
            const std::vector<double> got = memory_of(dst);
            int64_t wrong = 0;
            for (size_t i = 0; i < want.size(); ++i) wrong += !same(got[i], want[i]);
            CHECK_MESSAGE(wrong == 0, from << " to " << to << ' ' << shape);
        }
}

TEST_CASE("property: copy between all dtypes and strides writes those places and no other") {
    Random random(11);
    for (int round = 0; round < (quick() ? 5 : 25); ++round)
        check_writes(random, kAll, 100, 100, copy, [](double, double x, DType to, DType from) -> double {
            if (to == DType::u8 && is_int(from)) return static_cast<uint8_t>(static_cast<int64_t>(x));
            return converted(x, to);
        });
}

TEST_CASE("property: accumulate over float dtypes and strides; sums in f32, or f64 where one side is f64") {
    Random random(12);
    for (int round = 0; round < (quick() ? 10 : 60); ++round)
        check_writes(random, kFloats, 1, 50, accumulate, [](double was, double x, DType to, DType from) {
            const bool wide = to == DType::f64 || from == DType::f64;
            return rounded(wide ? was + x : rounded(was + x, DType::f32), to);
        });
}

TEST_CASE("property: fill writes the view and nothing else") {
    Random random(13);
    for (int round = 0; round < (quick() ? 20 : 100); ++round) {
        for (DType to : kAll) {
            const Tensor dst = random_view(random, random_shape(random), to, true);
            randomize(dst, random, 100);
            std::vector<double> want = memory_of(dst);
            const double value = to == DType::u8 ? 200 : -3.3;
            for (int64_t place : places(dst)) want[static_cast<size_t>(place)] = converted(value, to);
            fill(dst, value);
            CHECK(memory_of(dst) == want);
        }
    }
}

TEST_CASE("large tensors go through several tiles: transposed copy, sum, cast") {
    const int64_t n = 300, m = 401;
    Tensor a = Tensor::empty({n, m});
    for (int64_t i = 0; i < n * m; ++i) a.mutable_data<float>()[i] = static_cast<float>(i % 65521);
    const Tensor t = a.transpose(0, 1).contiguous();
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < m; ++j)
            wrong += t.data<float>()[j * n + i] != static_cast<float>((i * m + j) % 65521);
    CHECK(wrong == 0);
    Tensor sum = a.clone();
    accumulate(sum, a);
    accumulate(sum, a.transpose(0, 1).contiguous().transpose(0, 1));
    for (int64_t i = 0; i < n * m; ++i) wrong += sum.data<float>()[i] != 3 * static_cast<float>(i % 65521);
    CHECK(wrong == 0);
    const Tensor half = a.to(DType::f16);
    for (int64_t i = 0; i < n * m; ++i)
        wrong += half.data<Half>()[i].bits != reference_f16(std::bit_cast<uint32_t>(a.data<float>()[i]));
    CHECK(wrong == 0);
}

TEST_CASE("f64 and integers to f16 and bf16 round once, not twice through f32") {
    // Just above a tie of f16, by less than f32 can tell: twice rounded it would fall
    // back on the even neighbour.
    const double tie = 1 + 0x1p-11;
    const Tensor x =
        Tensor::from(std::vector<double>{tie, tie + 0x1p-40, tie - 0x1p-40, -(tie + 0x1p-40), 65520 - 1e-9,
                                         65520, 0x1p-25, 0x1p-25 + 0x1p-70, 1e-310, 1e300, -1e300, 0.0, -0.0},
                     {13});
    const std::vector<Half> h = x.to(DType::f16).to_vector<Half>();
    const uint16_t want[] = {0x3c00, 0x3c01, 0x3c00, 0xbc01, 0x7bff, 0x7c00, 0,
                             1,      0,      0x7c00, 0xfc00, 0,      0x8000};
    for (size_t i = 0; i < h.size(); ++i) CHECK(h[i].bits == want[i]);

    Random random(14);
    std::vector<double> values;
    for (int i = 0; i < 200000; ++i) {  // near ties of f16 and bf16, at any distance
        const auto bits = static_cast<uint16_t>(random());
        const double base =
            random() % 2 ? widen(bits & 0x7bffu, DType::f16) : widen(bits & 0x7f7fu, DType::bf16);
        const double unit = std::ldexp(1.0, std::ilogb(base == 0 ? 1.0 : base) - (random() % 2 ? 11 : 8));
        values.push_back(base + unit +
                         std::ldexp(unit, -static_cast<int>(random() % 46)) * (random() % 3 ? 1 : -1));
    }
    const Tensor v = Tensor::from(values, {static_cast<int64_t>(values.size())});
    const Tensor to_half = v.to(DType::f16), to_bf16 = v.to(DType::bf16);
    int64_t wrong = 0;
    for (size_t i = 0; i < values.size(); ++i) {
        wrong += to_half.data<Half>()[i].bits != reference_narrow_f64(values[i], 10, 5);
        wrong += to_bf16.data<BFloat16>()[i].bits != reference_narrow_f64(values[i], 7, 8);
    }
    CHECK(wrong == 0);

    std::vector<int64_t> integers{(INT64_C(1) << 62) + (INT64_C(1) << 54) + 1,
                                  (INT64_C(1) << 62) + (INT64_C(1) << 54),
                                  INT64_MAX,
                                  INT64_MIN,
                                  INT64_MIN + 1,
                                  33554432 + 131072 + 1,
                                  -(33554432 + 131072 + 1)};
    for (int i = 0; i < 20000; ++i) integers.push_back(static_cast<int64_t>(random()) >> (random() % 64));
    const Tensor n = Tensor::from(integers, {static_cast<int64_t>(integers.size())}), b = n.to(DType::bf16);
    for (size_t i = 0; i < integers.size(); ++i) {
        const bool negative = integers[i] < 0;
        const uint64_t magnitude =
            negative ? 0 - static_cast<uint64_t>(integers[i]) : static_cast<uint64_t>(integers[i]);
        // the reference takes at most 63 bits; 2^63 is exact
        const uint32_t bits = magnitude >> 63 ? 0x5f00u : round_to_format(magnitude, 0, 7, 8);
        wrong += b.data<BFloat16>()[i].bits != (bits | (negative ? 0x8000u : 0u));
    }
    CHECK(wrong == 0);
}

TEST_CASE("out of range: floats saturate in integers, NaN gives 0, NaN is true") {
    const double inf = std::numeric_limits<double>::infinity(),
                 nan = std::numeric_limits<double>::quiet_NaN();
    const Tensor x =
        Tensor::from(std::vector<double>{inf, -inf, nan, 1e30, -1e30, 2.9, -2.9, 255.5, 0.5}, {9});
    CHECK(x.to(DType::i32).to_vector<int64_t>() ==
          std::vector<int64_t>{INT32_MAX, INT32_MIN, 0, INT32_MAX, INT32_MIN, 2, -2, 255, 0});
    CHECK(x.to(DType::i64).to_vector<int64_t>() ==
          std::vector<int64_t>{INT64_MAX, INT64_MIN, 0, INT64_MAX, INT64_MIN, 2, -2, 255, 0});
    CHECK(x.to(DType::u8).to_vector<int64_t>() == std::vector<int64_t>{255, 0, 0, 255, 0, 2, 0, 255, 0});
    CHECK(x.to(DType::boolean).to_vector<int64_t>() == std::vector<int64_t>{1, 1, 1, 1, 1, 1, 1, 1, 1});
    CHECK(x.to(DType::f32).to(DType::i64).to_vector<int64_t>()[0] == INT64_MAX);
    CHECK(x.to(DType::f16).to(DType::i32).to_vector<int64_t>()[2] == 0);
    CHECK(Tensor::from(std::vector<int64_t>{-1, 256, 257}, {3}).to(DType::u8).to_vector<int64_t>() ==
          std::vector<int64_t>{255, 0, 1});
}

TEST_CASE("all_finite finds the one bad element, wherever it is") {
    for (DType dtype : kFloats) {
        for (double bad : {INFINITY, -INFINITY, NAN}) {
            Tensor t = Tensor::full({3, 50000}, -1, dtype);
            CHECK(all_finite(t));
            fill(t.slice(1, 49999, 50000).select(0, 2), bad);
            CHECK_FALSE(all_finite(t));
            CHECK(all_finite(t.slice(1, 0, 49999)));
            CHECK_FALSE(all_finite(t.transpose(0, 1)));
        }
    }
    CHECK(all_finite(Tensor::full({2}, 3.4e38)));
    CHECK(all_finite(Tensor::full({2}, 65504, DType::f16)));
    CHECK(all_finite(Tensor::zeros({0})));
    CHECK(all_finite(Tensor::zeros({2}, DType::i32)));
    CHECK(all_finite(Tensor()));
}

TEST_CASE("operands may overlap; expanded targets and wrong operands are refused") {
    Tensor t = Tensor::arange(8, DType::f32);
    copy(t.slice(0, 1, 8), t.slice(0, 0, 7));
    CHECK(t.to_vector<float>() == std::vector<float>{0, 0, 1, 2, 3, 4, 5, 6});
    copy(t.slice(0, 0, 7), t.slice(0, 1, 8));
    CHECK(t.to_vector<float>() == std::vector<float>{0, 1, 2, 3, 4, 5, 6, 6});
    copy(t, t);
    Tensor square = Tensor::arange(9, DType::f32).view({3, 3});
    copy(square, square.transpose(0, 1));
    CHECK(square.to_vector<float>() == std::vector<float>{0, 3, 6, 1, 4, 7, 2, 5, 8});
    accumulate(square, square.transpose(0, 1));
    CHECK(square.to_vector<float>() == std::vector<float>{0, 4, 8, 4, 8, 12, 8, 12, 16});
    accumulate(square, square);
    CHECK(square.to_vector<float>()[8] == 32);

    const Tensor one = Tensor::zeros({1, 3}), wide = one.expand({4, 3}), four = Tensor::zeros({4, 3});
    CHECK(error_of([&] { copy(wide, four); }) ==
          "[copy] destination f32 (4, 3) on cpu is expanded: several elements share one place in memory");
    CHECK(has(error_of([&] { fill(wide, 1); }), "[fill] destination"));
    CHECK(has(error_of([&] { accumulate(wide, four); }), "[accumulate] destination"));
    CHECK(error_of([&] { copy(four, wide.transpose(0, 1)); }) ==
          "[copy] shapes must be equal: destination (4, 3), source (3, 4)");
    CHECK(error_of([&] { accumulate(four, four.to(DType::i32)); }) ==
          "[accumulate] needs floating-point tensors: got f32 (4, 3) on cpu += i32 (4, 3) on cpu");
}
