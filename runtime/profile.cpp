#include "runtime/profile.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <utility>

#include "runtime/allocator.h"
#include "runtime/check.h"

namespace demi {

std::atomic<int> detail::scopes_wanted{0};

namespace {

thread_local Device device_of_span;

struct Recorder {
    std::mutex mutex;
    uint64_t run = 0;  // a scope that outlives its run is dropped
    int threads = 0;
    int64_t zero_ns = 0;
    std::vector<ProfileSpan> spans;
};

Recorder& recorder() {
    static Recorder* instance = new Recorder;  // never destroyed: threads may outlive static destruction
    return *instance;
}

int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

struct ThreadNumber {
    uint64_t run = 0;
    int number = 0;
};
thread_local ThreadNumber this_thread;
thread_local std::vector<std::string> open_names;

}  // namespace

void detail::note_device(Device device) { device_of_span = device; }

struct ProfileScope::Open {
    std::string name;
    uint64_t run = 0;
    int64_t start_ns = 0, allocated_before = 0, allocations_before = 0;
    bool named = false;
    Device outer_device;
};

std::string innermost_scope() { return open_names.empty() ? "" : open_names.back(); }

void ProfileScope::begin(std::string_view name, std::string_view suffix) {
    Recorder& r = recorder();
    auto open = std::make_unique<Open>();
    open->name.append(name).append(suffix);
    if (detail::scopes_wanted >= 2) {
        open_names.push_back(open->name);
        open->named = true;
    }
    if (!profiling()) {
        if (open->named) open_ = open.release();
        return;
    }
    {
        std::lock_guard lock(r.mutex);
        open->run = r.run;
        if (this_thread.run != r.run) this_thread = {r.run, r.threads++};
    }
    open->allocated_before = thread_allocated_bytes();
    open->allocations_before = thread_allocations();
    open->outer_device = std::exchange(device_of_span, Device::cpu());
    open->start_ns = now_ns();
    open_ = open.release();
}

void ProfileScope::end() noexcept {
    const int64_t stop = now_ns();
    const std::unique_ptr<Open> open(open_);
    if (open->named) open_names.pop_back();
    const Device device = device_of_span;
    if (device.is_cpu()) device_of_span = open->outer_device;
    Recorder& r = recorder();
    std::lock_guard lock(r.mutex);
    if (!profiling() || open->run != r.run) return;
    try {
        r.spans.push_back({std::move(open->name), this_thread.number, open->start_ns - r.zero_ns,
                           stop - open->start_ns, thread_allocated_bytes() - open->allocated_before,
                           thread_allocations() - open->allocations_before, device});
    } catch (const std::bad_alloc&) {  // a span is lost, the program goes on
    }
}

void start_profile() {
    Recorder& r = recorder();
    std::lock_guard lock(r.mutex);
    check(!profiling(), "profile", "a profile is being taken already");
    ++r.run;
    r.threads = 0;
    r.spans.clear();
    r.zero_ns = now_ns();
    detail::scopes_wanted += 1;
}

Profile stop_profile() {
    Recorder& r = recorder();
    std::lock_guard lock(r.mutex);
    check(profiling(), "profile", "no profile is being taken: call start_profile() first");
    detail::scopes_wanted -= 1;
    Profile profile{std::move(r.spans)};
    r.spans = {};
    std::stable_sort(
        profile.spans.begin(), profile.spans.end(), [](const ProfileSpan& a, const ProfileSpan& b) {
            return a.start_ns != b.start_ns ? a.start_ns < b.start_ns : a.duration_ns > b.duration_ns;
        });
    return profile;
}

}  // namespace demi
