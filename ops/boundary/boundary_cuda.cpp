#include "ops/boundary/boundary_cuda.h"

#include <algorithm>

#include "ops/boundary/boundary_kernels.h"
#include "ops/boundary/cast_sums.h"
#include "runtime/capture.h"
#include "runtime/cuda/stream.h"
#include "runtime/strided.h"

namespace demi {

using gpu_kernels::CastSums;

namespace {

void cast(const Tensor& src, const Cast& cast, Tensor& dst, CastCounters& counters) {
    const DeviceCounters lost(1, counts(cast), src.device());
    gpu_kernels::launch_cast(src.raw(), storage_of(src.dtype()), strided_of(src), src.numel(), cast,
                             dst.mutable_raw(), storage_of(dst.dtype()), lost[0],
                             gpu::current_stream(src.device()));
    lost.add_to(0, counters);
}

double amax(const Tensor& src) {
    const int64_t count = src.numel();
    if (count == 0) return 0;
    Tensor highest = Tensor::empty({gpu_kernels::amax_blocks(count)}, DType::f64, src.device());
    gpu_kernels::launch_amax(src.raw(), src.dtype(), strided_of(src), count, highest.mutable_data<double>(),
                             gpu::current_stream(src.device()));
    double all = 0;
    for (const double x : highest.to_vector<double>()) all = std::max(all, x);
    return all;
}

}  // namespace

DeviceCounters::DeviceCounters(int sets, bool counting, Device device) {
    if (counting && !capturing(device)) sets_ = take_sets(sets, device);
}

CastSums* DeviceCounters::operator[](int set) const {
    return sets_.sums != nullptr ? sets_.sums + set : nullptr;
}

void DeviceCounters::add_to(int set, CastCounters& counters) const {
    if (sets_.sums == nullptr) return;
    CastCounters more;
    more.pending = sets_.first + set;
    merge(counters, more);
}

gpu_kernels::Strided strided_of(const Tensor& tensor) {
    const StridedWalk<1> walk(tensor.shape(), {&tensor.strides()});
    gpu_kernels::Strided s{};
    s.rank = walk.rank;
    for (int d = 0; d < walk.rank; ++d) {
        s.sizes[d] = walk.sizes[static_cast<size_t>(d)];
        s.strides[d] = walk.stride(0, d);
    }
    return s;
}

const BoundaryKernels boundary_cuda{cast, amax};

}  // namespace demi
