#pragma once
// Internal: the counters of one call on the GPU: zeroed device memory, read back once afterwards.
#include "ops/common/boundary_call.h"
#include "ops/common/boundary_cuda.h"

namespace demi {

class DeviceCounters {
  public:
    // Room for `sets` counters; nothing at all where nobody counts.
    DeviceCounters(int sets, bool counting, Device device);

    gpu_kernels::CastSums* operator[](int set);  // null without counting
    // Waits for the device the first time.
    void add_to(int set, CastCounters& counters);

  private:
    Tensor sums_, here_;
};

inline bool counts(const Cast& cast) { return cast.round && cast.count; }

gpu_kernels::Strided strided_of(const Tensor& tensor);

}  // namespace demi
