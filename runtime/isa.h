#pragma once
#include <cstdint>

namespace demi {

// The instruction sets that kernel files named *_cpu.cpp are compiled for: plain x86-64, x86-64-v3 (AVX2, FMA,
// F16C) and x86-64-v4 (AVX-512 F/BW/CD/DQ/VL). Other processors have one, the baseline: "neon" on 64-bit ARM.
// v4_bf16 and v4_amx are v4 but for products in bf16: by vdpbf16ps, chosen on AMD processors (Intel's multiply floats twice
// as fast), or by the tiles of AMX, on request. Both take subnormal numbers for 0 and give none.
enum class Isa { baseline, v3, v4, v4_bf16, v4_amx };

const char* isa_name(Isa isa);

// The best set that this processor and operating system run. The environment variable
// DEMI_ISA=baseline|v3|v4|v4_bf16|v4_amx says another; an unknown name, or one that this processor lacks, throws Error.
// Read once.
Isa cpu_isa();

// Bytes of a core's second-level cache, as the system or else the processor says; 512 KiB where neither does.
int64_t l2_cache_bytes();

// cpu_isa() is at most this from now on, in the whole process: for ranks on different processors, whose bits are
// to be the same. Before anything is computed.
void limit_cpu_isa(Isa most);

namespace detail {

bool cpu_runs(Isa isa);

// For tests, some of which emulate what the processor lacks: cpu_isa() is this from now on.
void assume_isa(Isa isa);

}  // namespace detail

}  // namespace demi
