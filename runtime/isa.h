#pragma once
#include <cstdint>

namespace demi {

// The instruction sets that kernel files named *_cpu.cpp are compiled for: plain x86-64, x86-64-v3 (AVX2, FMA,
// F16C) and x86-64-v4 (AVX-512 F/BW/CD/DQ/VL). Other processors have one, the baseline: "neon" on 64-bit ARM.
enum class Isa { baseline, v3, v4 };

const char* isa_name(Isa isa);

// The best set that this processor and operating system run. The environment variable DEMI_ISA=baseline|v3|v4
// lowers it; an unknown name, or one that this processor lacks, throws Error. Read once.
Isa cpu_isa();

// Bytes of a core's second-level cache, as the system or else the processor says; 512 KiB where neither does.
int64_t l2_cache_bytes();

// cpu_isa() is at most this from now on, in the whole process: for ranks on different processors, whose bits are
// to be the same. Before anything is computed.
void limit_cpu_isa(Isa most);

}  // namespace demi
