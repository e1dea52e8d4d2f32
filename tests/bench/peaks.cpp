#include "tests/bench/peaks.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "runtime/isa.h"
#include "runtime/parallel.h"
#include "runtime/tensor.h"

namespace demi {
namespace {

double seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr int64_t kRounds = 1000000;
constexpr int kChains = 12;  // enough independent sums to hide the latency of each

#if defined(__x86_64__)
[[gnu::target("avx512f")]] double chains_v4(float x) {
    __m512 sum[kChains];
    const __m512 a = _mm512_set1_ps(x), b = _mm512_set1_ps(0.5f);
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
    for (int64_t n = 0; n < kRounds; ++n) {
#pragma GCC unroll 12
        for (int i = 0; i < kChains; ++i) sum[i] = _mm512_fmadd_ps(a, sum[i], b);
    }
    float out[16];
    for (int i = 1; i < kChains; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
    _mm512_storeu_ps(out, sum[0]);
    return static_cast<double>(out[0]);
}

[[gnu::target("avx2,fma")]] double chains_v3(float x) {
    __m256 sum[kChains];
    const __m256 a = _mm256_set1_ps(x), b = _mm256_set1_ps(0.5f);
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sum[i] = _mm256_set1_ps(static_cast<float>(i));
    for (int64_t n = 0; n < kRounds; ++n) {
#pragma GCC unroll 12
        for (int i = 0; i < kChains; ++i) sum[i] = _mm256_fmadd_ps(a, sum[i], b);
    }
    float out[8];
    for (int i = 1; i < kChains; ++i) sum[0] = _mm256_add_ps(sum[0], sum[i]);
    _mm256_storeu_ps(out, sum[0]);
    return static_cast<double>(out[0]);
}
#endif

using Chains = double (*)(float);

Chains chains(int& lanes) {
#if defined(__x86_64__)
    if (cpu_isa() >= Isa::v4) {
        lanes = 16;
        return chains_v4;
    }
    if (cpu_isa() == Isa::v3) {
        lanes = 8;
        return chains_v3;
    }
#endif
    lanes = 0;
    return nullptr;
}

// The best of three: threads may have been asleep, and the processor with them.
template <class F> double rate(double work, F&& run) {
    double best = 0;
    for (int i = 0; i < 3; ++i) {
        const double start = seconds();
        run();
        best = std::max(best, work / (seconds() - start));
    }
    return best;
}

}  // namespace

double measured_flops() {
    int lanes = 0;
    const Chains run = chains(lanes);
    if (run == nullptr) return 0;
    const int64_t tiles = num_threads();
    std::vector<double> sums(static_cast<size_t>(tiles));
    const double flops = rate(2.0 * kChains * lanes * kRounds * static_cast<double>(tiles), [&] {
        parallel_for(tiles, [&](int64_t tile) { sums[static_cast<size_t>(tile)] += run(0.25f); });
    });
    return sums[0] > 0 ? flops : 0;  // the sums are used: the loops cannot be left out
}

double measured_bandwidth() {
    constexpr int64_t kBytes = int64_t{96} << 20, kPiece = int64_t{4} << 20;
    static const Tensor from = Tensor::full({kBytes}, 1, DType::u8);
    static Tensor to = Tensor::full({kBytes}, 2, DType::u8);
    const char* source = static_cast<const char*>(from.raw());
    char* target = static_cast<char*>(to.mutable_raw());
    return rate(2.0 * static_cast<double>(kBytes), [&] {
        parallel_for(kBytes / kPiece,
                     [&](int64_t i) { std::memcpy(target + i * kPiece, source + i * kPiece, kPiece); });
    });
}

}  // namespace demi
