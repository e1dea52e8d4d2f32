#include "runtime/isa.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string_view>

#include "runtime/check.h"

#if !defined(DEMI_ISA_BASELINE_ONLY)
#include <cpuid.h>
#endif

namespace demi {
namespace {

#if !defined(DEMI_ISA_BASELINE_ONLY)
bool has_f16c_movbe_lzcnt() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
    const bool f16c_movbe = (c >> 29 & 1) != 0 && (c >> 22 & 1) != 0;
    if (!__get_cpuid(0x80000001, &a, &b, &c, &d)) return false;
    return f16c_movbe && (c >> 5 & 1) != 0;
}

// __builtin_cpu_supports also asks whether the operating system saves the wide registers.
Isa detect() {
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && has_f16c_movbe_lzcnt();
    if (!v3) return Isa::baseline;
    const bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
    return v4 ? Isa::v4 : Isa::v3;
}
#else
Isa detect() { return Isa::baseline; }
#endif

int64_t read_l2_bytes() {
#if defined(_SC_LEVEL2_CACHE_SIZE)
    if (const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE); bytes > 0) return bytes;
#endif
#if !defined(DEMI_ISA_BASELINE_ONLY)
    unsigned a = 0, b = 0, c = 0, d = 0;  // both makers say it here, in KiB
    if (__get_cpuid(0x80000006, &a, &b, &c, &d) && c >> 16 != 0) return int64_t{c >> 16} << 10;
#endif
    return 512 << 10;
}

Isa choose() {
    const Isa best = detect();
    const char* wanted = std::getenv("DEMI_ISA");
    if (wanted == nullptr || *wanted == '\0') return best;
    for (Isa isa : {Isa::baseline, Isa::v3, Isa::v4}) {
        if (std::string_view(wanted) != isa_name(isa)) continue;
        check(isa <= best, "isa", "DEMI_ISA must not ask for more than this processor has, ", isa_name(best),
              ": got ", wanted);
        return isa;
    }
    fail("isa", "DEMI_ISA must be ", isa_name(Isa::baseline), ", v3 or v4: got ", wanted);
}

std::atomic<Isa> limit{Isa::v4};

}  // namespace

const char* isa_name(Isa isa) {
    switch (isa) {
    case Isa::v4: return "v4";
    case Isa::v3: return "v3";
    case Isa::baseline: break;
    }
#if defined(__aarch64__)
    return "neon";
#else
    return "baseline";
#endif
}

Isa cpu_isa() {
    static const Isa isa = choose();
    return std::min(isa, limit.load(std::memory_order_relaxed));
}

void limit_cpu_isa(Isa most) {
    check(most >= Isa::baseline && most <= Isa::v4, "isa", "needs baseline, v3 or v4: got number ",
          static_cast<int>(most));
    limit = most;
}

int64_t l2_cache_bytes() {
    static const int64_t bytes = read_l2_bytes();
    return bytes;
}

}  // namespace demi
