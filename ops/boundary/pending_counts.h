#pragma once
// Internal: counters that still lie on the device. A kernel adds to sets of a slab that its thread has zeroed
// for many calls at once; the ledger reads them when somebody asks, so that no operator waits for the device.
#include <memory>
#include <vector>

#include "ops/boundary/boundary_cuda.h"
#include "runtime/tensor.h"

namespace demi {

class CountSlab;

// Zeroed sets on the device, of this thread; the id of a set is CastCounters::pending. Whoever takes some
// launches what adds to them before anything is noted.
struct TakenSets {
    int64_t first = 0;  // the id of the first
    gpu_kernels::CastSums* sums = nullptr;
};
TakenSets take_sets(int count, Device device);

// The slab of a set that this thread has taken lately. It stays as long as somebody holds it.
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
