#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/boundary/boundary_call.h"
#include "ops/boundary/boundary_kernels.h"
#include "runtime/strided.h"

namespace demi {
namespace {

constexpr int64_t kTile = 65536;
constexpr int64_t kBlock = 1024;

// prepare(tiles) gives run(tile, offset, position, count, step), called for pieces of rows of `src`; position
// is the place in logical order.
template <class F> void for_each_piece(const Tensor& src, F&& prepare) {
    const StridedWalk<1> walk(src.shape(), {&src.strides()});
    const int64_t inner = walk.inner(), outer = src.numel() == 0 ? 0 : walk.outer();
    const int64_t chunks = std::max<int64_t>(1, ceil_div(inner, kTile));
    const int64_t bundle = chunks > 1 ? 1 : std::max<int64_t>(1, kTile / std::max<int64_t>(inner, 1));
    const int64_t tiles = ceil_div(outer, bundle) * chunks;
    const auto run = prepare(tiles);
    parallel_for(tiles, [&](int64_t tile) {
        const int64_t row0 = tile / chunks * bundle, begin = tile % chunks * kTile;
        for (int64_t row = row0; row < std::min(outer, row0 + bundle); ++row)
            run(tile, walk.row_offsets(row)[0] + begin * walk.inner_strides()[0], row * inner + begin,
                std::min(kTile, inner - begin), walk.inner_strides()[0]);
    });
}

void cast_tensor(const Tensor& src, const Cast& cast, Tensor& dst, CastCounters& counters) {
    const char* in = static_cast<const char*>(src.raw());
    char* out = static_cast<char*>(dst.mutable_raw());
    const int64_t in_size = static_cast<int64_t>(size_of(src.dtype()));
    const int64_t out_size = static_cast<int64_t>(size_of(dst.dtype()));
    const Storage from = storage_of(src.dtype()), to = storage_of(dst.dtype());
    std::vector<CastCounters> counted;
    for_each_piece(src, [&](int64_t tiles) {
        counted.resize(static_cast<size_t>(tiles));
        return [&](int64_t tile, int64_t offset, int64_t position, int64_t count, int64_t step) {
            CastCounters* c = &counted[static_cast<size_t>(tile)];
            const char* x = in + offset * in_size;
            char* y = out + position * out_size;
            if (to == Storage::f32)
                return boundary_isa().load(reinterpret_cast<float*>(y), x, from, count, step, cast, c, false);
            float block[kBlock];
            for (int64_t i = 0; i < count; i += kBlock) {
                const int64_t n = std::min(kBlock, count - i);
                boundary_isa().load(block, x + i * step * in_size, from, n, step, cast, c, false);
                boundary_isa().store(y + i * out_size, to, block, n, Cast{}, nullptr, false);
            }
        };
    });
    for (const CastCounters& c : counted) merge(counters, c);
}

double amax_of(const Tensor& src) {
    const char* in = static_cast<const char*>(src.raw());
    std::vector<double> highest;
    for_each_piece(src, [&](int64_t tiles) {
        highest.resize(static_cast<size_t>(tiles));
        return [&](int64_t tile, int64_t offset, int64_t, int64_t count, int64_t step) {
            const char* p = in + offset * static_cast<int64_t>(size_of(src.dtype()));
            double& high = highest[static_cast<size_t>(tile)];
            if (src.dtype() != DType::f64) {
                const float amax = boundary_isa().amax(p, storage_of(src.dtype()), count, step);
                high = std::max(high, static_cast<double>(amax));
                return;
            }
            const double* x = reinterpret_cast<const double*>(p);
            for (int64_t i = 0; i < count; ++i)
                if (std::isfinite(x[i * step])) high = std::max(high, std::fabs(x[i * step]));
        };
    });
    double all = 0;
    for (const double one : highest) all = std::max(all, one);
    return all;
}

}  // namespace

const BoundaryKernels boundary_cpu{cast_tensor, amax_of};

}  // namespace demi
