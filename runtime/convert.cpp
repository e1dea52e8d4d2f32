#include "runtime/convert.h"

namespace demi {

template <class To, class From>
static void convert_all(To* dst, const From* src, int64_t count) {
    for (int64_t i = 0; i < count; ++i) dst[i] = static_cast<To>(static_cast<float>(src[i]));
}

void convert(Half* dst, const float* src, int64_t count) { convert_all(dst, src, count); }
void convert(float* dst, const Half* src, int64_t count) { convert_all(dst, src, count); }
void convert(BFloat16* dst, const float* src, int64_t count) { convert_all(dst, src, count); }
void convert(float* dst, const BFloat16* src, int64_t count) { convert_all(dst, src, count); }

}  // namespace demi
