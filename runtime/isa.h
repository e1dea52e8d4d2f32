#pragma once
#include <cstdint>

namespace demi {

// The instruction sets that kernel files named *_isa.cpp are compiled for: plain x86-64, x86-64-v3 (AVX2, FMA,
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

// Selects a table of kernels: `const Table& name()` gives the one that fits cpu_isa(). The *_isa.cpp file,
// compiled once for each instruction set, defines the tables in namespace demi::DEMI_ISA_NS:
//     extern const FooIsa foo_isa;
//     const FooIsa foo_isa = {sum, product};
// and one ordinary .cpp says in namespace demi:
//     DEMI_ISA_TABLE(FooIsa, foo_isa)
#define DEMI_ISA_DECLARE(space, Table, name) \
    namespace space { \
    extern const Table name; \
    }
#if defined(DEMI_ISA_BASELINE_ONLY)
#define DEMI_ISA_TABLE(Table, name) \
    DEMI_ISA_DECLARE(isa_baseline, Table, name) \
    const Table& name() { \
        (void)cpu_isa(); \
        return isa_baseline::name; \
    }
#else
#define DEMI_ISA_TABLE(Table, name) \
    DEMI_ISA_DECLARE(isa_baseline, Table, name) \
    DEMI_ISA_DECLARE(isa_v3, Table, name) \
    DEMI_ISA_DECLARE(isa_v4, Table, name) \
    const Table& name() { \
        const Isa isa = cpu_isa(); \
        if (isa == Isa::v4) return isa_v4::name; \
        return isa == Isa::v3 ? isa_v3::name : isa_baseline::name; \
    }
#endif
