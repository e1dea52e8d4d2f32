// The conversions of convert.h in vectors. Every instruction set gives the bits of
// half.h, NaN payloads included.
#include "runtime/convert_isa.h"

#include "runtime/simd.h"

namespace demi::DEMI_ISA_NS {
namespace {

template <class To, class From> DEMI_INLINE void convert_all(To* dst, const From* src, int64_t count) {
    int64_t i = 0;
    for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
        const vf a = loadu(src + i), b = loadu(src + i + kLanes);
        const vf c = loadu(src + i + 2 * kLanes), d = loadu(src + i + 3 * kLanes);
        storeu(dst + i, a);
        storeu(dst + i + kLanes, b);
        storeu(dst + i + 2 * kLanes, c);
        storeu(dst + i + 3 * kLanes, d);
    }
    for (; i + kLanes <= count; i += kLanes) storeu(dst + i, loadu(src + i));
    if (i < count)
        store_n(dst + i, load_n(src + i, static_cast<int>(count - i)), static_cast<int>(count - i));
}

template <class H> void narrow(uint16_t* dst, const float* src, int64_t count) {
    convert_all(reinterpret_cast<H*>(dst), src, count);
}
template <class H> void widen(float* dst, const uint16_t* src, int64_t count) {
    convert_all(dst, reinterpret_cast<const H*>(src), count);
}

}  // namespace

extern const ConvertIsa convert_isa;
const ConvertIsa convert_isa{narrow<Half>, widen<Half>, narrow<BFloat16>, widen<BFloat16>};

}  // namespace demi::DEMI_ISA_NS
