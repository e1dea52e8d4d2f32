#include <cstring>
#include <vector>

#include "ops/common/row_io.h"
#include "ops/index/index_select_kernels.h"
#include "runtime/parallel.h"

namespace demi {
namespace {

constexpr int64_t kBlock = 512, kGrain = 32768;

int64_t rows_of_tile(int64_t width) { return std::max<int64_t>(1, kGrain / std::max<int64_t>(width, 1)); }

void forward(Tensor& y, const Tensor& x, const Tensor& index) {
    const int64_t s = x.size(1), n = y.size(1), width = y.size(2);
    const size_t bytes = static_cast<size_t>(width) * size_of(x.dtype());
    const char* in = static_cast<const char*>(x.raw());
    char* out = static_cast<char*>(y.mutable_raw());
    const int64_t* at = index.data<int64_t>();
    parallel_ranges(y.size(0) * n, rows_of_tile(width), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row)
            std::memcpy(out + static_cast<size_t>(row) * bytes,
                        in + static_cast<size_t>(row / n * s + at[row % n]) * bytes, bytes);
    });
}

// The positions that chose each source row, in order: those of row r are list[first[r]] ... list[first[r + 1]
// - 1].
struct Positions {
    std::vector<int64_t> first, list;

    Positions(const int64_t* at, int64_t n, int64_t rows)
        : first(static_cast<size_t>(rows) + 1), list(static_cast<size_t>(n)) {
        for (int64_t i = 0; i < n; ++i) ++first[static_cast<size_t>(at[i]) + 1];
        for (size_t r = 1; r < first.size(); ++r) first[r] += first[r - 1];
        std::vector<int64_t> next = first;
        for (int64_t i = 0; i < n; ++i) list[static_cast<size_t>(next[static_cast<size_t>(at[i])]++)] = i;
    }
};

template <class C> void add_rows(Tensor& dx, const Tensor& dy, const Positions& positions) {
    const int64_t s = dx.size(1), n = dy.size(1), width = dx.size(2);
    const size_t bytes = static_cast<size_t>(width) * size_of(dx.dtype());
    const LoadRow<C> load = row_loader<C>(dy.dtype());
    const StoreRow<C> store = row_storer<C>(dx.dtype());
    const char* in = static_cast<const char*>(dy.raw());
    char* out = static_cast<char*>(dx.mutable_raw());
    parallel_ranges(dx.size(0) * s, rows_of_tile(width), [&](int64_t begin, int64_t end) {
        C sum[kBlock], more[kBlock];
        for (int64_t row = begin; row < end; ++row) {
            const int64_t a = row / s, r = row % s;
            const int64_t* list = positions.list.data() + positions.first[static_cast<size_t>(r)];
            const int64_t count =
                positions.first[static_cast<size_t>(r) + 1] - positions.first[static_cast<size_t>(r)];
            char* target = out + static_cast<size_t>(row) * bytes;
            if (count == 0) {
                std::memset(target, 0, bytes);
                continue;
            }
            if (count == 1) {
                std::memcpy(target, in + static_cast<size_t>(a * n + list[0]) * bytes, bytes);
                continue;
            }
            for (int64_t from = 0; from < width; from += kBlock) {
                const int64_t columns = std::min(kBlock, width - from);
                load(sum, in, (a * n + list[0]) * width + from, 1, columns);
                for (int64_t k = 1; k < count; ++k) {
                    load(more, in, (a * n + list[k]) * width + from, 1, columns);
                    for (int64_t i = 0; i < columns; ++i) sum[i] += more[i];
                }
                store(out, row * width + from, 1, sum, columns);
            }
        }
    });
}

void backward(Tensor& dx, const Tensor& dy, const Tensor& index) {
    const Positions positions(index.data<int64_t>(), index.numel(), dx.size(1));
    dx.dtype() == DType::f64 ? add_rows<double>(dx, dy, positions) : add_rows<float>(dx, dy, positions);
}

}  // namespace

const IndexSelectKernels index_select_cpu{forward, backward};

}  // namespace demi
