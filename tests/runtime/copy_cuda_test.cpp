// copy, fill, accumulate and all_finite on a GPU (or its emulation): the CPU's bits, but for the payload of a
// NaN that a real GPU adds to.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "runtime/copy.h"
#include "runtime/random.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/skip.h"

namespace demi::test {
namespace {

constexpr DType kAll[] = {DType::f16, DType::bf16, DType::f32, DType::f64,
                          DType::i32, DType::i64,  DType::u8,  DType::boolean};
const Device kGpu = Device::cuda();

// Numbers of every size, ties of the 16-bit floats, and what an integer cannot hold.
Tensor numbers(int64_t count) {
    std::vector<double> x{0.0,
                          -0.0,
                          1,
                          -1,
                          255.5,
                          300,
                          -3,
                          65519.99,
                          65520,
                          0x1p-24,
                          0x1p-25,
                          0x1.002p0,
                          0x1.001p0,
                          0x1.0010000000001p0,
                          2147483647.0,
                          2147483648.5,
                          -3e9,
                          9.3e18,
                          -9.3e18,
                          1e300,
                          NAN,
                          std::numeric_limits<double>::infinity(),
                          -std::numeric_limits<double>::infinity()};
    Generator generator{5};
    while (static_cast<int64_t>(x.size()) < count)
        x.push_back(std::ldexp(static_cast<double>(generator.next_uniform()) - 0.5,
                               static_cast<int>(x.size() % 80) - 40));
    return Tensor::from(x, {count});
}

#define NEEDS_GPU() \
    if (device_count(DeviceType::cuda) == 0) DEMI_SKIP("no GPU")

}  // namespace

TEST_CASE("copy on the GPU: every type to every type") {
    NEEDS_GPU();
    for (DType from : kAll) {
        const Tensor x = numbers(203).to(from);
        const Tensor gx = x.to(kGpu);
        CHECK(same_bits(gx, x) == "");
        for (DType to : kAll) {
            CAPTURE(name(from));
            CAPTURE(name(to));
            CHECK(same_bits(gx.to(to), x.to(to)) == "");
        }
    }
}

TEST_CASE("copy on the GPU: strides, offsets, odd sizes") {
    NEEDS_GPU();
    for (DType dtype : {DType::f64, DType::f32, DType::f16, DType::u8}) {
        const Tensor x = numbers(3 * 5 * 7 + 1).to(dtype);
        const Tensor gx = x.to(kGpu);
        const auto views = [](const Tensor& t) -> std::vector<Tensor> {
            const Tensor cube = t.slice(0, 1, 106).view({3, 5, 7});
            return {t.slice(0, 1, 106),        cube.transpose(0, 2), cube.permute({1, 2, 0}),
                    cube.slice(2, 1, 7, 2),    cube.select(1, 2),    cube.slice(0, 0, 1).expand({4, 5, 7}),
                    t.slice(0, 0, 1).view({}), t.slice(0, 0, 0),     t.slice(0, 3, 100, 3)};
        };
        const auto plain = views(x), here = views(gx);
        for (size_t i = 0; i < plain.size(); ++i) {
            CAPTURE(i);
            CHECK(same_bits(here[i].contiguous(), plain[i].contiguous()) == "");
            CHECK(same_bits(here[i].to(DType::f32), plain[i].to(DType::f32)) == "");
            CHECK(same_bits(here[i].to(Device::cpu()), plain[i]) == "");
        }
        Tensor a = Tensor::zeros({7, 5, 3}, dtype), b = Tensor::zeros({7, 5, 3}, dtype, kGpu);
        copy(a.transpose(0, 2), plain[1].transpose(0, 2));
        copy(b.transpose(0, 2), here[1].transpose(0, 2));
        CHECK(same_bits(b, a) == "");
        copy(b.slice(0, 0, 2), a.slice(0, 4, 6));  // from the host into a part
        copy(a.slice(0, 0, 2), a.slice(0, 4, 6));
        CHECK(same_bits(b, a) == "");
    }
}

TEST_CASE("fill and accumulate on the GPU") {
    NEEDS_GPU();
    for (DType dtype : kAll)
        for (double value : {0.0, 1.0, -2.75, 1e9, static_cast<double>(NAN)})
            CHECK(same_bits(Tensor::full({3, 5}, value, dtype, kGpu), Tensor::full({3, 5}, value, dtype)) ==
                  "");
    Tensor part = Tensor::zeros({4, 6}, DType::f32, kGpu), same = Tensor::zeros({4, 6});
    fill(part.slice(1, 1, 6, 2), 3);
    fill(same.slice(1, 1, 6, 2), 3);
    CHECK(same_bits(part, same) == "");
    for (DType to : {DType::f16, DType::bf16, DType::f32, DType::f64})
        for (DType from : {DType::f16, DType::bf16, DType::f32, DType::f64}) {
            const Tensor x = numbers(120).to(from).view({10, 12}).transpose(0, 1);
            Tensor sum = numbers(121).slice(0, 1, 121).to(to).view({12, 10}).clone();
            Tensor here = sum.to(kGpu);
            accumulate(sum, x);
            accumulate(here, x.to(kGpu));
            CHECK((kEmulation ? same_bits : same_numbers)(here, sum) == "");
        }
}

TEST_CASE("all_finite on the GPU") {
    NEEDS_GPU();
    for (DType dtype : {DType::f16, DType::bf16, DType::f32, DType::f64}) {
        Tensor x = Tensor::full({1000}, 3, dtype, kGpu);
        CHECK(all_finite(x));
        fill(x.slice(0, 999, 1000), static_cast<double>(NAN));
        CHECK_FALSE(all_finite(x));
        CHECK(all_finite(x.slice(0, 0, 999)));
        fill(x.slice(0, 500, 501), -std::numeric_limits<double>::infinity());
        CHECK_FALSE(all_finite(x.slice(0, 0, 999, 2)));
        CHECK(all_finite(x.slice(0, 1, 999, 2)));
    }
}

}  // namespace demi::test
