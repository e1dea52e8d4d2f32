#pragma once
// Internal: the counters of one call on the GPU. They stay there until somebody asks for them.
#include "ops/boundary/boundary_call.h"
#include "ops/boundary/pending_counts.h"

namespace demi {

class DeviceCounters {
  public:
    // Room for `sets` counters; nothing at all where nobody counts.
    DeviceCounters(int sets, bool counting, Device device);

    gpu_kernels::CastSums* operator[](int set) const;  // null without counting
    // Once the kernels are launched. What they count is pending from then on: nobody waits here.
    void add_to(int set, CastCounters& counters) const;

  private:
    TakenSets sets_;
};

inline bool counts(const Cast& cast) { return cast.round && cast.count; }

gpu_kernels::Strided strided_of(const Tensor& tensor);

}  // namespace demi
