#include "ops/index/index_kernels.h"

#include "ops/index/row_uses_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr int64_t kBlock = 512;

// Elements of a row, where a constant is faster than memcpy.
template <class T> struct CopyElement {
    DEMI_INLINE void operator()(char* to, const char* from) const {
        *reinterpret_cast<T*>(to) = *reinterpret_cast<const T*>(from);
    }
};
struct CopyBytes {
    size_t bytes;
    DEMI_INLINE void operator()(char* to, const char* from) const { __builtin_memcpy(to, from, bytes); }
};

template <class Copy> void take_rows_with(const TakeRows& c, int64_t bytes, const Copy& copy) {
    const char* x = static_cast<const char*>(c.x.data);
    char* y = static_cast<char*>(c.y.data);
    parallel_rows(c.a * c.n, c.width, [&](int64_t first, int64_t count) {
        int64_t a = first / c.n, i = first % c.n;
        for (int64_t row = first; row < first + count; ++row) {
            copy(y + row * bytes, x + (a * c.s + c.index[a * c.step + i]) * bytes);
            if (++i == c.n) {
                i = 0;
                ++a;
            }
        }
    });
}

void take_rows(const TakeRows& c, Queue) {
    const int64_t bytes = c.width * static_cast<int64_t>(size_of(c.x.dtype));
    switch (bytes) {
    case 1: return take_rows_with(c, bytes, CopyElement<uint8_t>());
    case 2: return take_rows_with(c, bytes, CopyElement<uint16_t>());
    case 4: return take_rows_with(c, bytes, CopyElement<uint32_t>());
    case 8: return take_rows_with(c, bytes, CopyElement<uint64_t>());
    default: return take_rows_with(c, bytes, CopyBytes{static_cast<size_t>(bytes)});
    }
}

template <class T> void add_rows_of(const AddRows& c, const RowUses& uses) {
    const T* dy = elements<T>(c.dy);
    parallel_rows(c.a * c.s, c.width, [&](int64_t first_row, int64_t rows) {
        lane_t<T> sum[kBlock];
        for (int64_t row = first_row; row < first_row + rows; ++row) {
            const int64_t r = row % c.s, first = uses.begin(r), end = uses.end(r);
            const auto from = [&](int64_t use) { return dy + (row / c.s * c.n + uses.place(use)) * c.width; };
            T* to = elements<T>(c.dx) + row * c.width;
            const size_t bytes = static_cast<size_t>(c.width) * sizeof(T);
            if (first == end) {
                __builtin_memset(static_cast<void*>(to), 0, bytes);
                continue;
            }
            if (first + 1 == end) {
                __builtin_memcpy(static_cast<void*>(to), from(first), bytes);
                continue;
            }
            for (int64_t at = 0; at < c.width; at += kBlock) {
                const int64_t columns = c.width - at < kBlock ? c.width - at : kBlock;
                const T* x = from(first) + at;
                for_lanes<T>(columns, [&] DEMI_LANES { put(sum + i, get(x + i, n), n); });
                for (int64_t use = first + 1; use < end; ++use) {
                    const T* more = from(use) + at;
                    for_lanes<T>(columns,
                                 [&] DEMI_LANES { put(sum + i, get(sum + i, n) + get(more + i, n), n); });
                }
                for_lanes<T>(columns, [&] DEMI_LANES { put(to + at + i, get(sum + i, n), n); });
            }
        }
    });
}

void add_rows(const AddRows& c, Queue queue) {
    const RowUses uses(c.index, c.n, c.s, queue);
    dispatch_float(c.dx.dtype, [&]<class T>() { add_rows_of<T>(c, uses); });
}

template <class T> void add_elements_of(const AddElements& c, Queue queue) {
    parallel_rows(c.a, c.s > c.n ? c.s : c.n, [&](int64_t first, int64_t rows) {
        const LocalScratch<lane_t<T>, 1024> sums(c.s, queue), row(c.n, queue);
        lane_t<T>*sum = sums.data(), *x = row.data();
        for (int64_t a = first; a < first + rows; ++a) {
            const T* dy = elements<T>(c.dy) + a * c.n;
            T* dx = elements<T>(c.dx) + a * c.s;
            for (int64_t r = 0; r < c.s; ++r) sum[r] = 0;
            for_lanes<T>(c.n, [&] DEMI_LANES { put(x + i, get(dy + i, n), n); });
            for (int64_t i = 0; i < c.n; ++i) sum[c.index[a * c.n + i]] += x[i];
            for_lanes<T>(c.s, [&] DEMI_LANES { put(dx + i, get(sum + i, n), n); });
        }
    });
}

void add_elements(const AddElements& c, Queue queue) {
    dispatch_float(c.dx.dtype, [&]<class T>() { add_elements_of<T>(c, queue); });
}

}  // namespace

const IndexKernels index_kernels{take_rows, add_rows, add_elements};

}  // namespace demi::DEMI_BACKEND
