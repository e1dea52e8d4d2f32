#include "runtime/isa.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <optional>
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

// Linux lends the registers of the tiles to a process that asks.
bool may_use_tiles() {
    constexpr int kRequestPermission = 0x1023, kTileData = 18;
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

Isa plain_isa() {
    static const Isa isa = detect();
    return isa;
}

bool runs(Isa isa) {
    if (isa <= Isa::v4) return isa <= plain_isa();
    unsigned a = 0, b = 0, c = 0, d = 0, a1 = 0;
    if (plain_isa() < Isa::v4 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    const bool tiles = (d >> 22 & 1) != 0 && (d >> 24 & 1) != 0;
    __get_cpuid_count(7, 1, &a1, &b, &c, &d);
    return isa == Isa::v4_bf16 ? (a1 >> 5 & 1) != 0 : tiles && may_use_tiles();
}

// AMX is taken on request only, for want of a processor to measure it on.
Isa best_isa() { return runs(Isa::v4_bf16) && __builtin_cpu_is("amd") ? Isa::v4_bf16 : plain_isa(); }
#else
bool runs(Isa isa) { return isa == Isa::baseline; }
Isa best_isa() { return Isa::baseline; }
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
    const char* wanted = std::getenv("DEMI_ISA");
    if (wanted == nullptr || *wanted == '\0') return best_isa();
    for (Isa isa : {Isa::baseline, Isa::v3, Isa::v4, Isa::v4_bf16, Isa::v4_amx}) {
        if (std::string_view(wanted) != isa_name(isa)) continue;
        check(runs(isa), "isa", "DEMI_ISA must not ask for more than this processor has, ",
              isa_name(best_isa()), ": got ", wanted);
        return isa;
    }
    fail("isa", "DEMI_ISA must be ", isa_name(Isa::baseline), ", v3, v4, v4_bf16 or v4_amx: got ", wanted);
}

std::atomic<Isa> limit{Isa::v4_amx};
std::atomic<std::optional<Isa>> assumed{};

}  // namespace

const char* isa_name(Isa isa) {
    switch (isa) {
    case Isa::v4_amx: return "v4_amx";
    case Isa::v4_bf16: return "v4_bf16";
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
    return std::min(assumed.load(std::memory_order_relaxed).value_or(isa),
                    limit.load(std::memory_order_relaxed));
}

bool detail::cpu_runs(Isa isa) { return runs(isa); }

void detail::assume_isa(Isa isa) { assumed = isa; }

void limit_cpu_isa(Isa most) {
    check(most >= Isa::baseline && most <= Isa::v4_amx, "isa", "needs one of baseline to v4_amx: got number ",
          static_cast<int>(most));
    limit = most;
}

int64_t l2_cache_bytes() {
    static const int64_t bytes = read_l2_bytes();
    return bytes;
}

}  // namespace demi
