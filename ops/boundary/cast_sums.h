#pragma once
// Internal, for attention until it uses Entering::lost(): the counters of one call on a GPU.
#include "ops/boundary/crossing.h"
#include "ops/boundary/pending_counts.h"
#include "runtime/capture.h"

namespace demi {

class DeviceCounters {
  public:
    DeviceCounters(int sets, bool counting, Device device) {
        if (counting && !capturing(device)) sets_ = take_sets(sets, device);
    }
    CastCounters* operator[](int set) const { return sets_.sums != nullptr ? sets_.sums + set : nullptr; }
    // Once the kernels are launched. What they count is pending from then on.
    void add_to(int set, CastCounters& counters) const {
        if (sets_.sums == nullptr) return;
        CastCounters more;
        more.pending = sets_.first + set;
        merge(counters, more);
    }

  private:
    TakenSets sets_;
};

inline bool counts(const Cast& cast) { return cast.round && cast.count; }

}  // namespace demi
