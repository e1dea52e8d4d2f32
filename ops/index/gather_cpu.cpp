#include <algorithm>
#include <vector>

#include "ops/common/row_io.h"
#include "ops/index/gather_kernels.h"
#include "runtime/parallel.h"

namespace demi {
namespace {

int64_t rows_of_tile(int64_t width) { return std::max<int64_t>(1, 32768 / std::max<int64_t>(width, 1)); }

void forward(Tensor& y, const Tensor& x, const Tensor& index) {
    const int64_t s = x.size(1), n = y.size(1);
    const int64_t* at = index.data<int64_t>();
    dispatch_float(x.dtype(), "gather", [&]<class T>() {
        const T* in = x.data<T>();
        T* out = y.mutable_data<T>();
        parallel_ranges(y.size(0), rows_of_tile(n), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin * n; i < end * n; ++i) out[i] = in[i / n * s + at[i]];
        });
    });
}

template <class C> void add_rows(Tensor& dx, const Tensor& dy, const Tensor& index) {
    const int64_t s = dx.size(1), n = dy.size(1);
    const int64_t* at = index.data<int64_t>();
    const LoadRow<C> load = row_loader<C>(dy.dtype());
    const StoreRow<C> store = row_storer<C>(dx.dtype());
    const void* in = dy.raw();
    void* out = dx.mutable_raw();
    parallel_ranges(dx.size(0), rows_of_tile(std::max(s, n)), [&](int64_t begin, int64_t end) {
        std::vector<C> sum(static_cast<size_t>(s)), row(static_cast<size_t>(n));
        for (int64_t r = begin; r < end; ++r) {
            std::fill(sum.begin(), sum.end(), C(0));
            load(row.data(), in, r * n, 1, n);
            for (int64_t i = 0; i < n; ++i)
                sum[static_cast<size_t>(at[r * n + i])] += row[static_cast<size_t>(i)];
            store(out, r * s, 1, sum.data(), s);
        }
    });
}

void backward(Tensor& dx, const Tensor& dy, const Tensor& index) {
    dx.dtype() == DType::f64 ? add_rows<double>(dx, dy, index) : add_rows<float>(dx, dy, index);
}

}  // namespace

const GatherKernels gather_cpu{forward, backward};

}  // namespace demi
