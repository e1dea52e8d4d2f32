#include "runtime/captured_step.h"

#include <algorithm>
#include <utility>

#include "runtime/capture_state.h"
#include "runtime/check.h"
#include "runtime/profile.h"

#ifdef DEMI_CUDA
#include "runtime/cuda/pinned.h"
#endif

namespace demi {

CapturedStep::Record::Record(Device where) : device(where), pool(where) {}

CapturedStep::Record::~Record() {
    try {
        synchronize(device);  // launches may be under way
    } catch (const Error&) {  // was reported, or will be, by what comes next
    }
}

CapturedStep::Record::Place CapturedStep::Record::take(std::vector<std::unique_ptr<Mirror>>& mirrors,
                                                       size_t bytes) {
    constexpr size_t kChunk = size_t{256} << 10;
    const size_t room = (bytes + 63) / 64 * 64;
    if (mirrors.empty() || mirrors.back()->used + room > mirrors.back()->host.size()) {
        // Not from the private pool: its blocks may have been written by an earlier part of the step.
        pool.close();
        auto mirror = std::make_unique<Mirror>();
        mirror->host.resize(std::max(kChunk, room));
        mirror->memory = Tensor::empty({static_cast<int64_t>(mirror->host.size())}, DType::u8, device);
        mirrors.push_back(std::move(mirror));
        pool.open();
    }
    Mirror& m = *mirrors.back();
    const size_t at = std::exchange(m.used, m.used + room);
    return {m.memory.slice(0, static_cast<int64_t>(at), static_cast<int64_t>(at + bytes)),
            m.host.data() + at};
}

#ifdef DEMI_CUDA

void CapturedStep::Record::send(std::vector<std::unique_ptr<Mirror>>& mirrors) {
    for (const auto& m : mirrors) gpu::upload(m->memory.mutable_raw(), m->host.data(), m->used, device);
}

void CapturedStep::record() {
    check(current_record() == nullptr, "captured step", "another step is being captured");
    const std::lock_guard others(record_mutex());
    synchronize(device_);
    empty_cache(device_);
    auto record = std::make_unique<Record>(device_);
    struct Recording {
        Record* record;
        ScopeNames names;
        explicit Recording(Record* r) : record(r) {
            record->graph.begin();
            record->pool.open();
            current_record() = record;
        }
        ~Recording() {
            current_record() = nullptr;
            record->pool.close();
            record->graph.abandon();
        }
    };
    {
        const Recording recording(record.get());
        body_();
        record->graph.end();
    }
    record->send(record->constant);
    record_ = std::move(record);
}

#endif

CapturedStep::CapturedStep(Device device, std::function<void()> body, int warm_up)
    : device_(device), body_(std::move(body)), warm_up_(warm_up) {
    check(body_ != nullptr, "captured step", "needs a body");
    check(warm_up >= 1, "captured step", "the body must run at least once before it is recorded: got ",
          warm_up);
}

CapturedStep::~CapturedStep() = default;

void CapturedStep::operator()() {
    if (device_.is_cpu() || warm_up_ > 0) {
        body_();
        if (warm_up_ > 0) --warm_up_;
        return;
    }
#ifdef DEMI_CUDA
    if (record_ == nullptr)
        record();
    else
        for (const auto& fn : record_->host_part) fn();
    record_->send(record_->live);
    record_->graph.launch();
    ++replays_;
#endif
}

size_t CapturedStep::memory_bytes() const {
#ifdef DEMI_CUDA
    if (record_ != nullptr) return record_->pool.bytes();
#endif
    return 0;
}

}  // namespace demi
