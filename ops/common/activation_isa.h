#pragma once
// The table that an activation's *_isa.cpp file fills; plain data. Entries for f16, bf16, f32.
#include <cstdint>

namespace demi {

struct ActivationIsa {
    void (*forward[3])(const void* x, void* y, int64_t count);
    void (*backward[3])(const void* x, const void* dy, void* dx, int64_t count);
};

}  // namespace demi
