// Tensors without elements, and every function with arguments that make no sense: an Error, or a view that
// stays inside its memory; never the end of the process.
#include <doctest/doctest.h>

#include <functional>

#include "runtime/allocator.h"
#include "runtime/capture.h"
#include "runtime/copy.h"
#include "runtime/parallel.h"
#include "runtime/random.h"
#include "runtime/safetensors.h"
#include "runtime/tensor.h"
#include "tests/runtime/naive.h"
#include "tests/support/check_error.h"
#include "tests/support/env.h"
#include "tests/support/temporary.h"

using namespace demi;
using namespace demi::test;

namespace {

constexpr DType kAll[] = {DType::f16, DType::bf16, DType::f32, DType::f64,
                          DType::i32, DType::i64,  DType::u8,  DType::boolean};

int64_t wild(Random& random) {
    constexpr int64_t values[] = {INT64_MIN,
                                  INT64_MIN + 1,
                                  -(INT64_C(1) << 62),
                                  -7,
                                  -2,
                                  -1,
                                  0,
                                  1,
                                  2,
                                  3,
                                  4,
                                  6,
                                  INT64_C(1) << 31,
                                  INT64_C(1) << 32,
                                  INT64_C(1) << 62,
                                  INT64_MAX - 1,
                                  INT64_MAX};
    return values[below(random, std::size(values))];
}

Shape wild_shape(Random& random) {
    Shape shape;
    for (int64_t rank = below(random, 5); rank > 0; --rank) shape.push_back(wild(random));
    return shape;
}

bool inside(const Tensor& t) {
    if (t.numel() == 0) return t.offset() == 0 && t.strides() == contiguous_strides(t.shape());
    int64_t last = t.offset();
    for (int i = 0; i < t.rank(); ++i) last += (t.shape()[i] - 1) * t.strides()[i];
    return t.offset() >= 0 && last < static_cast<int64_t>(t.buffer()->bytes() / size_of(t.dtype())) &&
           t.numel() == t.shape().numel();
}

}  // namespace

TEST_CASE("without elements: whatever view it is, it can be filled, copied, converted and added to") {
    const std::vector<Tensor> views{Tensor::zeros({1, 1}).expand({0, 3}),
                                    Tensor::zeros({1, 3}).expand({0, 3}),
                                    Tensor::zeros({0, 1}).expand({0, 3}),
                                    Tensor::zeros({}).expand({0, 3}),
                                    Tensor::zeros({3, 4, 2}).slice(1, 4).select(2, 1).transpose(0, 1),
                                    Tensor::zeros({5, 3}).slice(0, 5, 5, 3),
                                    Tensor::zeros({4}).as_strided({0, 3}, {0, 0}, 4),
                                    Tensor::zeros({7, 0}).reshape({0, 3}),
                                    Tensor::zeros({0, 9}).view({-1, 3})};
    for (const Tensor& t : views) {
        REQUIRE(t.shape() == Shape{0, 3});
        CHECK(inside(t));
        CHECK(t.is_contiguous());
        for (DType dtype : kAll) {
            const Tensor other = t.to(dtype);
            CHECK(other.shape() == t.shape());
            fill(other, 3);
            copy(other, t);
            copy(t, other);
            CHECK(all_finite(other));
            CHECK(other.to_vector<double>().empty());
            if (is_float(dtype)) accumulate(t, other);
        }
        fill(t, 1);
        accumulate(t, t);
        Generator g;
        uniform(t, g);
        normal(t, g);
        trunc_normal(t, g, 0, 1, -2, 2);
        CHECK(g.offset == 0);
        CHECK(t.clone().shape() == t.shape());
        CHECK(t.reshape({3, 0, 2}).shape() == Shape{3, 0, 2});
        CHECK(t.unsqueeze(1).squeeze(1).transpose(0, -1).permute({1, 0}).shape() == t.shape());
        CHECK(t.slice(1, 1, 3).shape() == Shape{0, 2});
        CHECK(t.select(1, -1).shape() == Shape{0});
        CHECK(t.bitcast(DType::i32).shape() == t.shape());
        CHECK(
            has(error_of([&] { (void)t.item(); }), "[item] needs a tensor with one element: got f32 (0, 3)"));
    }
    CHECK(Tensor::zeros({0}, DType::u8).bytes_as(DType::f64, {0, 2}).shape() == Shape{0, 2});
    CHECK(Tensor::arange(0).numel() == 0);
    CHECK(Tensor::from(std::vector<float>(), {2, 0}).numel() == 0);
    const TemporaryFolder folder;
    write_safetensors(folder / "empty", {{"e", views[0]}}, {}, true);
    CHECK(SafetensorsFile(folder / "empty").load("e").shape() == Shape{0, 3});
}

TEST_CASE("every function of an undefined tensor names itself") {
    const Tensor none;
    const Tensor one = Tensor::zeros({1});
    Generator g;
    const std::vector<std::pair<std::string, std::function<void()>>> uses{
        {"view", [&] { none.view({1}); }},
        {"reshape", [&] { none.reshape({0}); }},
        {"transpose", [&] { none.transpose(0, 0); }},
        {"permute", [&] { none.permute({}); }},
        {"slice", [&] { none.slice(0, 0, 0); }},
        {"select", [&] { none.select(0, 0); }},
        {"expand",
         [&] {
             none.expand({2, 3});
         }},
        {"unsqueeze", [&] { none.unsqueeze(0); }},
        {"squeeze", [&] { none.squeeze(0); }},
        {"as_strided", [&] { none.as_strided({}, {}, 0); }},
        {"bitcast", [&] { none.bitcast(DType::f32); }},
        {"bytes_as", [&] { none.bytes_as(DType::f32, {0}); }},
        {"contiguous", [&] { none.contiguous(); }},
        {"clone", [&] { none.clone(); }},
        {"to", [&] { none.to(DType::f32); }},
        {"to", [&] { none.to(Device::cpu()); }},
        {"to", [&] { none.to_vector<float>(); }},
        {"like", [&] { Tensor::like(none); }},
        {"device", [&] { (void)none.device(); }},
        {"item", [&] { (void)none.item(); }},
        {"tensor", [&] { (void)none.raw(); }},
        {"tensor", [&] { (void)none.data<float>(); }},
        {"copy", [&] { copy(none, one); }},
        {"copy", [&] { copy(one, none); }},
        {"fill", [&] { fill(none, 1); }},
        {"accumulate", [&] { accumulate(one, none); }},
        {"random", [&] { uniform(none, g); }},
        {"random", [&] { normal(none, g); }},
        {"random", [&] { trunc_normal(none, g, 0, 1, -1, 1); }},
        {"safetensors", [&] {
             write_safetensors("/nonexistent/x", {{"t", none}});
         }}};
    for (const auto& [op, use] : uses) {
        const std::string message = error_of(use);
        CHECK_MESSAGE(has(message, "[" + op + "] "), message);
        CHECK_MESSAGE((has(message, "undefined") || op == "to"), message);
    }
    CHECK(has(error_of([&] { write_safetensors("x", {{"t", none}}); }), "tensor 't' is undefined"));
}

TEST_CASE("sizes and counts that wrap around are refused, naming them") {
    const auto refused = [](const std::string& part, auto fn) {
        const std::string message = error_of(fn);
        CHECK_MESSAGE(has(message, part), message);
    };
    CHECK(Tensor::zeros({INT64_MAX, INT64_MAX, 0}).clone().to(DType::f16).numel() == 0);
    refused("[tensor] size does not fit 64 bits: got f32 (4294967296, 4294967296)", [] {
        Tensor::zeros({INT64_C(1) << 32, INT64_C(1) << 32});
    });
    refused("[tensor] size does not fit 64 bits", [] { Tensor::zeros({INT64_C(1) << 61}, DType::f64); });
    refused("[allocate] out of memory on cpu: asked for 1152921504606846976 bytes",
            [] { Tensor::empty({INT64_C(1) << 60}, DType::u8); });
    refused("[tensor] sizes must not be negative: got (-2, -3)", [] {
        Tensor::from(std::vector<float>(6), {-2, -3});
    });
    refused("[from] shape (3,) needs 3 values: got 2", [] { Tensor::from(std::vector<int64_t>(2), {3}); });
    refused("does not fit 64 bits", [] { Tensor::from(std::vector<float>(2), {INT64_MAX, 4}); });
    refused("[arange] count must not be negative: got -1", [] { Tensor::arange(-1); });
    refused("[arange] u8 does not hold the numbers below 257", [] { Tensor::arange(257, DType::u8); });
    refused("[arange] bool does not hold the numbers below 3", [] { Tensor::arange(3, DType::boolean); });
    refused("[arange] i32 does not hold", [] { Tensor::arange((INT64_C(1) << 31) + 1, DType::i32); });
    refused("[arange] f16 does not hold", [] { Tensor::arange(65521, DType::f16); });
    CHECK(Tensor::arange(65520, DType::f16).to_vector<float>().back() == 65504);
    CHECK(Tensor::arange(256, DType::u8).to_vector<int>().back() == 255);
    refused("[allocate] out of memory", [] { Tensor::arange(INT64_MAX / 8); });
    refused("[bytes_as] size does not fit 64 bits", [] {
        Tensor::zeros({8}, DType::u8).bytes_as(DType::f64, {INT64_MAX, 8});
    });
    refused("[bytes_as] sizes must not be negative", [] {
        Tensor::zeros({8}, DType::u8).bytes_as(DType::u8, {-1, -8});
    });
    refused("[bytes_as] bool holds 0 and 1 only",
            [] { Tensor::full({8}, 7, DType::u8).bytes_as(DType::boolean, {8}); });
    refused("[unsqueeze] rank must be at most 8: cannot extend (1, 1, 1, 1, 1, 1, 1, 1)", [] {
        Tensor::zeros({1, 1, 1, 1, 1, 1, 1, 1}).unsqueeze(0);
    });
    refused("[allocate] out of memory", [] { (void)allocate(Device::cpu(), SIZE_MAX); });
    refused("[allocate] device index must be below", [] { PrivatePool pool(Device::cuda(100)); });
    refused("[parallel_ranges] grain must be positive: got 0",
            [] { parallel_ranges(4, 0, [](int64_t, int64_t) {}); });
    refused("[random] a draw cannot take -4 words", [] { (void)Generator{}.take(-4); });
    refused("[capture] a live number needs a function", [] { LiveNumber number{std::function<double()>()}; });
    CHECK(ceil_div(INT64_MAX, 4096) == (INT64_C(1) << 51));
    Generator g;
    CHECK(g.take(INT64_MAX).offset == 0);
    CHECK(g.offset == uint64_t{1} << 61);
}

TEST_CASE("property: wild arguments give an Error, or a view inside the buffer") {
    Random random(21);
    const std::vector<Tensor> tensors{Tensor(),
                                      Tensor::zeros({}),
                                      Tensor::zeros({0, 3}),
                                      Tensor::zeros({4, 6}),
                                      Tensor::zeros({4, 6}).transpose(0, 1).slice(0, 1, 5, 2),
                                      Tensor::zeros({1, 1, 2}).expand({3, INT64_C(1) << 50, 2}),
                                      Tensor::zeros({24}, DType::u8),
                                      Tensor::zeros({1}).as_strided({1}, {INT64_MAX}, 0)};
    int given = 0, refused = 0;
    const auto attempt = [&](auto fn) {
        try {
            const Tensor t = fn();
            CHECK(inside(t));
            ++given;
        } catch (const Error&) {
            ++refused;
        }
    };
    for (int round = 0; round < (quick() ? 500 : 5000); ++round) {
        const Tensor& t = tensors[static_cast<size_t>(below(random, int64_t(tensors.size())))];
        const auto dim = [&] {
            return static_cast<int>(std::clamp<int64_t>(wild(random), INT32_MIN, INT32_MAX));
        };
        const int a = dim(), b = dim();
        const int64_t x = wild(random), y = wild(random), z = wild(random);
        const Shape shape = wild_shape(random), other = wild_shape(random);
        attempt([&] { return t.view(shape); });
        if (t.numel() < 100) attempt([&] { return t.reshape(shape); });
        attempt([&] { return t.transpose(a, b); });
        attempt([&] { return t.permute({a, b}); });
        attempt([&] { return t.permute({a, a}); });
        attempt([&] { return t.slice(a, x, y, z); });
        attempt([&] { return t.slice(0, x, y, z).slice(-1, z, x); });
        attempt([&] { return t.select(a, x); });
        attempt([&] { return t.expand(shape); });
        attempt([&] { return t.unsqueeze(a).unsqueeze(b); });
        attempt([&] { return t.squeeze(a); });
        attempt([&] { return t.as_strided(shape, other, x); });
        attempt([&] { return t.bytes_as(kAll[below(random, 8)], shape); });
        attempt([&] { return t.bitcast(kAll[below(random, 8)]); });
        if (x < 10 || x > INT64_C(1) << 40)
            attempt([&] { return Tensor::arange(x, kAll[below(random, 8)]); });
    }
    CHECK(given > refused / 20);
}
