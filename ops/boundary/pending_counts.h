#pragma once
// Internal: counters that are still in a GPU's memory. A kernel adds to sets of a slab that its thread has zeroed for many
// calls at once; the ledger copies them later, so that no operator waits for the device.
#include "ops/boundary/boundary.h"

namespace demi {

// What kernels that cross with `cast` add to for `counters`: these on the CPU; on a GPU, where `where` lies, a zeroed set,
// which is pending in `counters` from then on. Null where nothing is counted. The kernels must be launched before the
// counters are noted.
CastCounters* counted_in(CastCounters& counters, const Cast& cast, const Tensor& where);

// Counters as they crossed, with k as the exponents.
void add_to_ledger(const BoundaryRow& more);

// The slab of a set that this thread has taken lately.
class CountSlab;
std::shared_ptr<CountSlab> slab_of(int64_t pending);

// Adds what a set that this thread has taken holds, and leaves nothing pending. Waits for the device.
void settle(CastCounters& counters);

// A row of the ledger, as it crossed; any thread may read it.
struct PendingRow {
    size_t line = 0;
    int k = 0;
    CastCounters counters;
    std::shared_ptr<CountSlab> slab;
};
void settle(std::vector<PendingRow>& rows);  // one copy for each slab

// The ledger reads its pending rows when there are that many: one wait for thousands of casts.
constexpr size_t kMostPending = 4096;
size_t pending_rows();

}  // namespace demi
