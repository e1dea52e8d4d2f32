// What every *_cpu.cpp file includes: the intrinsics alone are 60,000 lines. Without #pragma once for the
// same reason as runtime/precompiled.h.
#include "runtime/simd.h"
