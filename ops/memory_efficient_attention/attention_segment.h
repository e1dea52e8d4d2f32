#pragma once
// Which queries of a packed sequence see which keys. Plain structs, which kernels see too.
#include <stdint.h>

namespace demi {

// A run of queries that sees a run of keys. Query i of the segment sees its keys [i + low, i + high),
// cut to the segment. Every mask is such an interval: causal is high = 1, a window bounds both, none is
// low = -kAttentionNoBound.
constexpr int64_t kAttentionNoBound = int64_t{1} << 40;
struct AttentionSegment {
    int64_t q_begin = 0, q_end = 0, k_begin = 0, k_end = 0;
    int64_t low = -kAttentionNoBound, high = kAttentionNoBound;

    int64_t queries() const { return q_end - q_begin; }
    int64_t keys() const { return k_end - k_begin; }
};

}  // namespace demi
