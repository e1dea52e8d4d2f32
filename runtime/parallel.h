#pragma once
// parallel_for(tiles, fn) calls fn(tile) for every tile in [0, tiles), on the library's own threads.
// Tiles run in any order, at once or one after another: results must not depend on it, so tiles are cut from
// shapes, never from the number of threads. A call from inside a tile, or while another thread uses the pool,
// runs inline. The exception of the lowest failing tile is rethrown. DEMI_THREADS sets the number of threads.
// Kernel files that are compiled once per instruction set include it: nothing here emits code that others could share.
#include <stdint.h>

#include "runtime/element.h"

namespace demi {

int num_threads();
void set_num_threads(int threads);  // 1..256; takes effect at the next parallel_for

namespace detail {
void run_tiles(int64_t tiles, void (*call)(void*, int64_t), void* fn);
[[noreturn]] void no_grain(int64_t grain);
}  // namespace detail

template <class F> DEMI_INLINE void parallel_for(int64_t tiles, const F& fn) {
    detail::run_tiles(
        tiles, [](void* f, int64_t tile) { (*static_cast<const F*>(f))(tile); },
        const_cast<void*>(static_cast<const void*>(__builtin_addressof(fn))));
}

DEMI_INLINE constexpr int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b > 0); }  // a >= 0, b > 0

// Splits [0, n) into ranges of `grain`, at least 1, and calls fn(begin, end) for each.
template <class F> DEMI_INLINE void parallel_ranges(int64_t n, int64_t grain, const F& fn) {
    if (grain <= 0) [[unlikely]]
        detail::no_grain(grain);
    parallel_for(ceil_div(n, grain), [&](int64_t tile) {
        const int64_t begin = tile * grain;
        fn(begin, n - begin > grain ? begin + grain : n);
    });
}

}  // namespace demi
