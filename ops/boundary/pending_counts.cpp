#include "ops/boundary/pending_counts.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <utility>

#include "ops/boundary/crossing.h"
#include "runtime/capture.h"

namespace demi {

constexpr int64_t kSets = 1024;  // of a slab: 56 KiB
constexpr int64_t kWords = sizeof(CastCounters) / sizeof(int64_t);

static int64_t fresh_ids() {
    static std::atomic<int64_t> next{1};  // 0: nothing is pending
    return next.fetch_add(kSets, std::memory_order_relaxed);
}

// One thread takes sets from it, and launches what adds to them, on the device's one stream: behind the zeros,
// before any copy that is asked for later.
class CountSlab {
  public:
    explicit CountSlab(Device device)
        : first_(fresh_ids()), memory_(Tensor::zeros({kSets, kWords}, DType::i64, device)),
          sums_(reinterpret_cast<CastCounters*>(memory_.mutable_data<int64_t>())) {}

    bool has_room() const { return used_ < kSets; }
    // A zeroed set, pending in `counters` from now on.
    CastCounters* take(CastCounters& counters) {
        counters.pending = first_ + used_;
        return sums_ + used_++;
    }

    bool holds(int64_t pending) const { return pending >= first_ && pending < first_ + kSets; }

    Tensor copy() const { return memory_.to(Device::cpu()); }
    // Adds what a copy holds; nothing is pending then.
    void add(const Tensor& copied, CastCounters& counters) const {
        const auto* sets = reinterpret_cast<const CastCounters*>(copied.data<int64_t>());
        add_counters(counters, sets[counters.pending - first_]);
        counters.pending = 0;
    }

    // For its thread. The sets of one call come with one copy.
    void settle(CastCounters& counters) {
        if (counters.pending - first_ >= copied_) {
            last_ = copy();
            copied_ = used_;
        }
        add(last_, counters);
    }

  private:
    int64_t first_, used_ = 0, copied_ = 0;  // last_ holds the first copied_ sets
    Tensor memory_;
    CastCounters* sums_;
    Tensor last_;
};

namespace {

// The slab in use on a device and the one before it, which a call may still have to note.
struct Slabs {
    std::shared_ptr<CountSlab> now, before;
};
std::map<int, Slabs>& my_slabs() {
    thread_local std::map<int, Slabs> slabs;
    return slabs;
}

}  // namespace

CastCounters* counted_in(CastCounters& counters, const Cast& cast, const Tensor& where) {
    const Device device = where.defined() ? where.device() : Device::cpu();
    if (!cast.round || !cast.count || !where.defined()) return nullptr;
    if (device.is_cpu()) return &counters;
    if (capturing(device)) return nullptr;
    if (counters.pending != 0) settle(counters);
    Slabs& mine = my_slabs()[device.index];
    if (mine.now == nullptr || !mine.now->has_room()) {
        auto fresh = std::make_shared<CountSlab>(device);
        mine.before = std::exchange(mine.now, std::move(fresh));
    }
    return mine.now->take(counters);
}

std::shared_ptr<CountSlab> slab_of(int64_t pending) {
    for (const auto& [device, slabs] : my_slabs())
        for (const auto* slab : {&slabs.now, &slabs.before})
            if (*slab != nullptr && (*slab)->holds(pending)) return *slab;
    fail("boundary", "counters were noted long after their kernel, or by another thread");
}

void settle(CastCounters& counters) { slab_of(counters.pending)->settle(counters); }

void settle(std::vector<PendingRow>& rows) {
    std::map<const CountSlab*, Tensor> copies;
    for (PendingRow& row : rows) {
        Tensor& copied = copies[row.slab.get()];
        if (!copied.defined()) copied = row.slab->copy();
        row.slab->add(copied, row.counters);
    }
}

}  // namespace demi
