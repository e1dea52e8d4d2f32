#include "ops/scaled_index_add/scaled_index_add_isa.h"

#include "runtime/simd.h"

namespace demi::DEMI_ISA_NS {
namespace {

void add(float* x, const float* factor, const float* source, int64_t count) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
        storeu(x + i, loadu(factor + i) * loadu(source + i) + loadu(x + i));
    const int n = static_cast<int>(count - i);
    if (n > 0) store_n(x + i, load_n(factor + i, n) * load_n(source + i, n) + load_n(x + i, n), n);
}

void add_one(float* x, float factor, const float* source, int64_t count) {
    const vf f = broadcast(factor);
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) storeu(x + i, f * loadu(source + i) + loadu(x + i));
    const int n = static_cast<int>(count - i);
    if (n > 0) store_n(x + i, f * load_n(source + i, n) + load_n(x + i, n), n);
}

void scale(float* x, float factor, int64_t count) {
    const vf f = broadcast(factor);
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) storeu(x + i, f * loadu(x + i));
    const int n = static_cast<int>(count - i);
    if (n > 0) store_n(x + i, f * load_n(x + i, n), n);
}

void multiply(float* out, const float* a, const float* b, int64_t count) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) storeu(out + i, loadu(a + i) * loadu(b + i));
    const int n = static_cast<int>(count - i);
    if (n > 0) store_n(out + i, load_n(a + i, n) * load_n(b + i, n), n);
}

}  // namespace

extern const ScaledIndexAddIsa scaled_index_add_isa;
const ScaledIndexAddIsa scaled_index_add_isa = {add, add_one, scale, multiply};

}  // namespace demi::DEMI_ISA_NS
