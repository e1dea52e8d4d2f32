// The wrappers that kernels are written against (runtime/cuda/gpu.h), on a GPU or emulated; layouts are
// written out here once more, from the PTX manual.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "runtime/copy.h"
#include "runtime/cuda/stream.h"
#include "runtime/random.h"
#include "tests/runtime/gpu_kernels.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/skip.h"

using namespace demi;
using namespace demi::test;
namespace kernels = demi::test_kernels;

#define NEEDS_GPU() \
    if (device_count(DeviceType::cuda) == 0) DEMI_SKIP("no GPU")

namespace {

const Device kGpu = Device::cuda();

gpu::Stream stream() { return gpu::current_stream(kGpu); }

template <class T> const T* as(const Tensor& t) { return static_cast<const T*>(t.raw()); }
template <class T> T* out(Tensor& t) { return static_cast<T*>(t.mutable_raw()); }

Tensor product(const Tensor& a, const Tensor& b) {
    const auto x = a.to_vector<double>(), y = b.to_vector<double>();
    std::vector<double> d(128, 0);
    for (size_t i = 0; i < 16; ++i)
        for (size_t j = 0; j < 8; ++j)
            for (size_t k = 0; k < 16; ++k) d[8 * i + j] += x[16 * i + k] * y[8 * k + j];
    return Tensor::from(d, {16, 8});
}

}  // namespace

TEST_CASE("gpu: mma fragments multiply two matrices") {
    NEEDS_GPU();
    for (DType dtype : {DType::f16, DType::bf16}) {
        const Tensor a = drawn({16, 16}, 1, dtype), b = drawn({16, 8}, 2, dtype);
        Tensor d = Tensor::zeros({16, 8}, DType::f32, kGpu);
        const Tensor ga = a.to(kGpu), gb = b.to(kGpu);
        kernels::mma(dtype == DType::bf16, false, as<uint16_t>(ga), as<uint16_t>(gb), out<float>(d),
                     stream());
        CHECK(compare(d, product(a, b), {1e-5, 1e-5}) == "");
        if (dtype != DType::f16) continue;
        fill(d, 0);
        kernels::mma(false, true, as<uint16_t>(ga), as<uint16_t>(gb), out<float>(d), stream());
        CHECK(compare(d, product(a, b), {1e-5, 1e-5}) != "");  // a wrong layout shows
    }
}

TEST_CASE("gpu: ldmatrix, plain and transposed, gives what mma takes") {
    NEEDS_GPU();
    const Tensor a = drawn({16, 16}, 3, DType::f16), b = drawn({16, 8}, 4, DType::f16);
    for (bool transposed : {false, true}) {
        Tensor d = Tensor::zeros({16, 8}, DType::f32, kGpu);
        const Tensor ga = a.to(kGpu), gb = (transposed ? b.transpose(0, 1).contiguous() : b).to(kGpu);
        kernels::mma_ldmatrix(as<uint16_t>(ga), as<uint16_t>(gb), transposed, out<float>(d), stream());
        CHECK(compare(d, product(a, b), {1e-5, 1e-5}) == "");
    }
}

TEST_CASE("gpu: shuffles and ballots") {
    NEEDS_GPU();
    const Tensor x = drawn({32}, 5);
    const Tensor gx = x.to(kGpu);
    Tensor y = Tensor::empty({5, 32}, DType::f64, kGpu);
    kernels::shuffles(as<float>(gx), out<double>(y), stream());
    const auto v = x.to_vector<double>(), got = y.to_vector<double>();
    uint32_t votes = 0;
    double sum = 0;
    for (size_t i = 0; i < 32; ++i) {
        votes |= static_cast<uint32_t>(v[i] > 0) << i;
        sum += v[i];
    }
    for (size_t i = 0; i < 32; ++i) {
        CHECK(got[i] == v[(i + 5) % 32]);
        CHECK(got[32 + i] == v[i ^ 9]);
        CHECK(got[64 + i] == static_cast<double>(i + 3 < 32 ? i + 3 : i));
        CHECK(got[96 + i] == static_cast<double>(votes));
        CHECK(got[128 + i] == doctest::Approx(sum).epsilon(1e-5));
        CHECK(got[128 + i] == got[128]);
    }
}

TEST_CASE("gpu: barriers and reductions over a block") {
    NEEDS_GPU();
    const Tensor x = drawn({1000}, 6);
    const Tensor gx = x.to(kGpu);
    Tensor sums = Tensor::empty({5}, DType::f32, kGpu);
    kernels::block_sums(as<float>(gx), 1000, out<float>(sums), 5, stream());
    double want = 0;
    for (double v : x.to_vector<double>()) want += v;
    const Tensor all = Tensor::full({5}, want, DType::f64);
    CHECK(compare(sums, all, {1e-4, 1e-5}) == "");
    CHECK(same_bits(sums.slice(0, 1, 5), sums.slice(0, 0, 1).expand({4})) == "");
    Tensor back = Tensor::empty({1000}, DType::f32, kGpu);
    for (int turn = 0; turn < 2; ++turn) {  // both orders of the emulation
        kernels::reverse(as<float>(gx), out<float>(back), 1000, false, stream());
        const auto reversed = back.to_vector<float>(), plain = x.to_vector<float>();
        CHECK(std::equal(reversed.begin(), reversed.end(), plain.rbegin()));
    }
}

TEST_CASE("gpu: asynchronous copies, zeros where not valid") {
    NEEDS_GPU();
    const Tensor x = drawn({64, 4}, 7);
    const Tensor gx = x.to(kGpu);
    Tensor y = Tensor::empty({64, 4}, DType::f32, kGpu);
    kernels::copy_async(as<uint32_t>(gx), out<uint32_t>(y), 64, false, stream());
    Tensor want = Tensor::zeros({64, 4});
    for (int64_t i = 0; i < 32; ++i) copy(want.select(0, 63 - i), x.select(0, i));
    CHECK(same_bits(y, want) == "");
}

TEST_CASE("gpu: 16-bit floats have the bits of the CPU's conversions") {
    NEEDS_GPU();
    const int64_t n = 1 << 16;
    std::vector<float> x;
    for (uint32_t i = 0; i < n; ++i) {
        const uint32_t bits = i * 65537u ^ (i << 13);
        x.push_back(std::bit_cast<float>(i % 3 == 0   ? (i << 16 | 0x8000u)
                                         : i % 3 == 1 ? bits
                                                      : 0x33000000u + i * 2477u));
    }
    size_t at = 0;
    for (float special :
         {0.0f, -0.0f, 65519.996f, 65520.0f, 65504.0f, 0x1p-24f, 0x1p-25f, 0x1.8p-24f, 3.4e38f,
          std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::quiet_NaN()})
        x[at++] = special;
    const Tensor gx = Tensor::from(x, {n}, kGpu);
    Tensor bits = Tensor::empty({n, 4}, DType::u8, kGpu), back = Tensor::empty({n, 2}, DType::f32, kGpu);
    kernels::conversions(as<float>(gx), out<uint16_t>(bits), out<float>(back), n, stream());
    const Tensor got = bits.to(Device::cpu()), floats = back.to(Device::cpu());
    int wrong = 0;
    for (int64_t i = 0; i < n; ++i) {
        const auto u = static_cast<size_t>(i);
        wrong += as<uint16_t>(got)[2 * i] != f32_to_f16_bits(x[u]);
        wrong += as<uint16_t>(got)[2 * i + 1] != f32_to_bf16_bits(x[u]);
        const auto h = static_cast<uint16_t>(i);
        wrong +=
            std::bit_cast<uint32_t>(as<float>(floats)[2 * i]) != std::bit_cast<uint32_t>(f16_bits_to_f32(h));
        wrong += std::bit_cast<uint32_t>(as<float>(floats)[2 * i + 1]) !=
                 std::bit_cast<uint32_t>(bf16_bits_to_f32(h));
    }
    CHECK(wrong == 0);
}

TEST_CASE("gpu: random words and integer atomics") {
    NEEDS_GPU();
    Tensor w = Tensor::empty({1000}, DType::i32, kGpu);
    const uint64_t seed = 0x123456789abcdefull, offset = 0xfffffffffull;
    kernels::words(seed, offset, out<uint32_t>(w), 1000, stream());
    const auto got = w.to_vector<int32_t>();
    for (uint64_t i = 0; i < 1000; ++i)
        CHECK(static_cast<uint32_t>(got[static_cast<size_t>(i)]) == random_word(seed, offset, i));
    Tensor sum = Tensor::zeros({1}, DType::i64, kGpu), largest = Tensor::zeros({1}, DType::i32, kGpu);
    kernels::atomics(out<uint64_t>(sum), out<uint32_t>(largest), 1000, stream());
    CHECK(sum.item() == 499500);
    CHECK(largest.item() == 999);
}

TEST_CASE("gpu: a launch that no device takes is refused") {
    NEEDS_GPU();
    Tensor x = Tensor::zeros({4096}, DType::f32, kGpu);
    CHECK(has(error_of([&] { kernels::reverse(as<float>(x), out<float>(x), 1056, false, stream()); }),
              "a block has 1 to 1024 threads: got 1056 x 1 x 1"));
}
