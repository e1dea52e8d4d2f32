// Every conversion between f32 and the 16-bit floats, in every instruction set, against integer arithmetic.
#include "runtime/convert.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <vector>

#include "runtime/copy_kernels.h"
#include "runtime/parallel.h"
#include "tests/runtime/reference.h"

using namespace demi;
using namespace demi::test;

namespace {

std::vector<const CopyKernels*> tables() {
    std::vector<const CopyKernels*> all{&isa_baseline::copy_kernels};
#if !defined(DEMI_ISA_BASELINE_ONLY)
    if (cpu_isa() >= Isa::v3) all.push_back(&isa_v3::copy_kernels);
    if (cpu_isa() >= Isa::v4) all.push_back(&isa_v4::copy_kernels);
#endif
    return all;
}

constexpr uint32_t kBlock = 1 << 16;

ConstMem in_f32(const std::vector<float>& x) { return {x.data(), DType::f32}; }
Mem out_f32(std::vector<float>& x) { return {x.data(), DType::f32}; }

// Values first, first + step, ... through both formats; the number of wrong results.
int64_t wrong_in_block(uint32_t first, uint32_t step) {
    std::vector<float> values(kBlock);
    std::vector<uint16_t> f16(kBlock), bf16(kBlock), got(kBlock);
    int64_t wrong = 0;
    for (uint32_t i = 0; i < kBlock; ++i) {
        const uint32_t bits = first + i * step;
        values[i] = std::bit_cast<float>(bits);
        f16[i] = reference_f16(bits);
        bf16[i] = reference_bf16(bits);
        wrong += f32_to_f16_bits(values[i]) != f16[i];
        wrong += f32_to_bf16_bits(values[i]) != bf16[i];
    }
    for (const CopyKernels* isa : tables()) {
        isa->convert({got.data(), DType::f16}, in_f32(values), kBlock);
        for (uint32_t i = 0; i < kBlock; ++i) wrong += got[i] != f16[i];
        isa->convert({got.data(), DType::bf16}, in_f32(values), kBlock);
        for (uint32_t i = 0; i < kBlock; ++i) wrong += got[i] != bf16[i];
    }
    return wrong;
}

}  // namespace

TEST_CASE("the reference itself: known values of f16") {
    CHECK(reference_f16(std::bit_cast<uint32_t>(1.0f)) == 0x3c00);
    CHECK(reference_f16(std::bit_cast<uint32_t>(-2.0f)) == 0xc000);
    CHECK(reference_f16(std::bit_cast<uint32_t>(65504.0f)) == 0x7bff);
    CHECK(reference_f16(std::bit_cast<uint32_t>(65519.996f)) == 0x7bff);
    CHECK(reference_f16(std::bit_cast<uint32_t>(65520.0f)) == 0x7c00);
    CHECK(reference_f16(std::bit_cast<uint32_t>(0x1p-24f)) == 0x0001);
    CHECK(reference_f16(std::bit_cast<uint32_t>(0x1p-25f)) == 0x0000);  // tie to even
    CHECK(reference_f16(std::bit_cast<uint32_t>(0x1.000002p-25f)) == 0x0001);
    CHECK(reference_f16(std::bit_cast<uint32_t>(0x1.002p0f)) == 0x3c00);  // tie to even
    CHECK(reference_f16(std::bit_cast<uint32_t>(0x1.006p0f)) == 0x3c02);
    CHECK(reference_f16(std::bit_cast<uint32_t>(0x1.ffbp-15f)) == 0x03ff);
    CHECK(reference_f16(std::bit_cast<uint32_t>(0x1.fffp-15f)) == 0x0400);  // rounds up into the normals
    CHECK(reference_bf16(std::bit_cast<uint32_t>(0x1.01p0f)) == 0x3f80);
    CHECK(reference_bf16(0x7f7fffffu) == 0x7f80);
    CHECK(reference_bf16(0x7f800001u) == 0x7fc0);
}

TEST_CASE("all 65536 halves and bfloat16s to f32, and back") {
    std::vector<uint16_t> all(kBlock), back(kBlock);
    for (uint32_t i = 0; i < kBlock; ++i) all[i] = static_cast<uint16_t>(i);
    std::vector<float> wide(kBlock);
    for (const CopyKernels* isa : tables()) {
        int64_t wrong = 0;
        isa->convert(out_f32(wide), {all.data(), DType::f16}, kBlock);
        isa->convert({back.data(), DType::f16}, in_f32(wide), kBlock);
        for (uint32_t i = 0; i < kBlock; ++i) {
            const uint32_t want = reference_widen_f16(all[i]);
            const bool nan = (all[i] & 0x7fffu) > 0x7c00u;
            wrong += std::bit_cast<uint32_t>(wide[i]) != want;
            wrong += std::bit_cast<uint32_t>(f16_bits_to_f32(all[i])) != want;
            wrong += back[i] != (nan ? all[i] | 0x200u : all[i]);
        }
        isa->convert(out_f32(wide), {all.data(), DType::bf16}, kBlock);
        isa->convert({back.data(), DType::bf16}, in_f32(wide), kBlock);
        for (uint32_t i = 0; i < kBlock; ++i) {
            const bool nan = (all[i] & 0x7fffu) > 0x7f80u;
            wrong += std::bit_cast<uint32_t>(wide[i]) != static_cast<uint32_t>(all[i]) << 16;
            wrong += back[i] != (nan ? all[i] | 0x40u : all[i]);
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("f32 to f16 and bf16, DEMI_TEST_EXHAUSTIVE=1: all 2^32, else one in 1021") {
    const char* text = std::getenv("DEMI_TEST_EXHAUSTIVE");
    const bool all = text != nullptr && *text != '\0' && *text != '0';
    const uint32_t step = all ? 1 : 1021;  // odd, so that the low bits of neighbours differ
    const int64_t blocks = all ? 65536 : 65536 / 1021 + 1;
    std::atomic<int64_t> wrong{0};
    parallel_for(blocks, [&](int64_t tile) {
        wrong += wrong_in_block(static_cast<uint32_t>(tile) * kBlock * step, step);
    });
    CHECK(wrong.load() == 0);
}

TEST_CASE("f32 near every value that f16 and bf16 hold, and half-way between") {
    std::vector<uint32_t> probes;
    for (uint32_t h = 0; h < kBlock; ++h) {
        const uint32_t f16 = reference_widen_f16(static_cast<uint16_t>(h));
        for (int d = -2; d <= 2; ++d) {
            probes.push_back(f16 + static_cast<uint32_t>(d));
            probes.push_back(f16 + 0x1000u + static_cast<uint32_t>(d));  // ties of normal halves
            probes.push_back((h << 16) + static_cast<uint32_t>(d));
            probes.push_back((h << 16) + 0x8000u + static_cast<uint32_t>(d));
        }
    }
    for (uint32_t k = 1; k < 2048; ++k)  // ties of subnormal halves: odd multiples of 2^-25
        for (int d = -2; d <= 2; ++d)
            probes.push_back(std::bit_cast<uint32_t>(static_cast<float>(k) * 0x1p-25f) +
                             static_cast<uint32_t>(d));
    std::vector<float> values;
    for (uint32_t bits : probes) values.push_back(std::bit_cast<float>(bits));
    std::vector<uint16_t> got(probes.size());
    const auto count = static_cast<int64_t>(probes.size());
    for (const CopyKernels* isa : tables()) {
        int64_t wrong = 0;
        isa->convert({got.data(), DType::f16}, in_f32(values), count);
        for (size_t i = 0; i < got.size(); ++i) wrong += got[i] != reference_f16(probes[i]);
        isa->convert({got.data(), DType::bf16}, in_f32(values), count);
        for (size_t i = 0; i < got.size(); ++i) wrong += got[i] != reference_bf16(probes[i]);
        CHECK(wrong == 0);
    }
}

TEST_CASE("every length and alignment; nothing beyond the end is touched") {
    std::vector<float> source(200), wide(200);
    for (size_t i = 0; i < source.size(); ++i) source[i] = static_cast<float>(i) * 1.37f - 100;
    std::vector<uint16_t> half(200);
    for (const CopyKernels* isa : tables()) {
        int64_t wrong = 0;
        for (size_t start = 0; start < 17; ++start) {
            for (size_t n = 0; n < 150; ++n) {
                std::fill(half.begin(), half.end(), uint16_t{0xabcd});
                isa->convert({half.data() + start, DType::f16}, {source.data() + start, DType::f32},
                             static_cast<int64_t>(n));
                for (size_t i = 0; i < half.size(); ++i) {
                    const bool inside = i >= start && i < start + n;
                    wrong += half[i] != (inside ? f32_to_f16_bits(source[i]) : 0xabcd);
                }
                std::fill(wide.begin(), wide.end(), -7.0f);
                isa->convert({wide.data() + start, DType::f32}, {half.data() + start, DType::bf16},
                             static_cast<int64_t>(n));
                for (size_t i = 0; i < wide.size(); ++i) {
                    const bool inside = i >= start && i < start + n;
                    wrong += std::bit_cast<uint32_t>(wide[i]) !=
                             std::bit_cast<uint32_t>(inside ? bf16_bits_to_f32(half[i]) : -7.0f);
                }
            }
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("convert() uses the table of this processor") {
    const std::vector<float> x{1.0f, -0.0f, 65520.0f, 1e-8f, 3.14159f};
    std::vector<Half> h(x.size());
    std::vector<BFloat16> b(x.size());
    std::vector<float> back(x.size());
    convert(h.data(), x.data(), 5);
    convert(b.data(), x.data(), 5);
    for (size_t i = 0; i < x.size(); ++i) {
        CHECK(h[i].bits == Half(x[i]).bits);
        CHECK(b[i].bits == BFloat16(x[i]).bits);
    }
    convert(back.data(), h.data(), 5);
    CHECK(back[4] == static_cast<float>(h[4]));
    convert(back.data(), b.data(), 5);
    CHECK(back[4] == static_cast<float>(b[4]));
}
