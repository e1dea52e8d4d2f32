#include "ops/index/index_kernels.h"

#include "ops/index/row_uses_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

// kBytes: of a row, where a constant is faster than a count; 0: `bytes`.
template <size_t kBytes> void take_rows_of(const TakeRows& c, int64_t bytes) {
    const char* x = static_cast<const char*>(c.x.data);
    char* y = static_cast<char*>(c.y.data);
    parallel_rows(c.a * c.n, c.width, [&](int64_t first, int64_t count) {
        int64_t a = first / c.n, i = first % c.n;
        for (int64_t row = first; row < first + count; ++row) {
            __builtin_memcpy(y + row * bytes, x + (a * c.s + c.index[a * c.step + i]) * bytes,
                             kBytes > 0 ? kBytes : static_cast<size_t>(bytes));
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
    case 1: return take_rows_of<1>(c, bytes);
    case 2: return take_rows_of<2>(c, bytes);
    case 4: return take_rows_of<4>(c, bytes);
    case 8: return take_rows_of<8>(c, bytes);
    default: return take_rows_of<0>(c, bytes);
    }
}

template <class C> void add_rows_in(const AddRows& c, Queue queue) {
    const RowUses uses(c.index, c.n, c.s, queue);
    parallel_rows(c.a * c.s, c.width, [&](int64_t first, int64_t rows) {
        for (int64_t row = first; row < first + rows; ++row) {
            const ConstMem dy = from(c.dy, row / c.s * c.n * c.width);
            const TakenRows<C> taken{uses, dy, 1, c.width, {}, {}, false, nullptr, nullptr};
            taken.gradient(from(c.dx, row * c.width), row % c.s, 0, c.width);
        }
    });
}

void add_rows(const AddRows& c, Queue queue) {
    c.dx.dtype == DType::f64 ? add_rows_in<double>(c, queue) : add_rows_in<float>(c, queue);
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
