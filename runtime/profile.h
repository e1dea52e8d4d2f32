#pragma once
// The op profiler: spans of named work, with thread, time and memory asked for, as a
// Chrome trace and as a table.
//
//   start_profile();
//   { ProfileScope scope("load batch"); ... }
//   const Profile profile = stop_profile();
//   profile.write_trace("trace.json");   // opens in chrome://tracing or ui.perfetto.dev
//   std::cout << profile.table();
//
// While it is off a scope costs one relaxed atomic load. Work on a GPU is queued: its spans show the time to
// launch it unless the scope waits for it.
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/device.h"
#include "runtime/non_copyable.h"

namespace demi {

struct ProfileSpan {
    std::string name;
    int thread = 0;        // numbered from 0 in the order of their first span
    int64_t start_ns = 0;  // since start_profile()
    int64_t duration_ns = 0;
    // Asked for by this thread within the span, on any device; inner spans included.
    int64_t allocated_bytes = 0;
    int64_t allocations = 0;  // how often
    Device device{};          // where its kernels ran, inner spans included: a GPU if any did there
};

struct Profile {
    std::vector<ProfileSpan> spans;  // by start, outer before inner

    std::string trace_json() const;
    void write_trace(const std::string& path) const;  // atomic; throws Error
    // One line per name, most own time first: calls, total, own (inner spans taken
    // off), mean, longest, memory.
    std::string table() const;
};

void start_profile();    // throws Error where one runs already
Profile stop_profile();  // spans that are still open are left out; throws Error where none runs

namespace detail {
extern std::atomic<int> scopes_wanted;  // 1: a profile runs; 2 for each living ScopeNames
void note_device(Device device);
}  // namespace detail
inline bool profiling() { return detail::scopes_wanted.load(std::memory_order_relaxed) % 2 != 0; }
// A kernel of this device is called within the open spans.
inline void profile_kernel(Device device) {
    if (!device.is_cpu() && profiling()) [[unlikely]]
        detail::note_device(device);
}

// While one lives, innermost_scope() knows the name of the scope that this thread is in; "" outside of any.
class ScopeNames : NonCopyable {
  public:
    ScopeNames() { detail::scopes_wanted += 2; }
    ~ScopeNames() { detail::scopes_wanted -= 2; }
};
std::string innermost_scope();

class ProfileScope : NonCopyable {
  public:
    // The name is name + suffix; both are read only while a profile runs.
    explicit ProfileScope(std::string_view name, std::string_view suffix = {}) {
        if (detail::scopes_wanted.load(std::memory_order_relaxed) != 0) [[unlikely]]
            begin(name, suffix);
    }
    ~ProfileScope() {
        if (open_ != nullptr) [[unlikely]]
            end();
    }

  private:
    void begin(std::string_view name, std::string_view suffix);
    void end() noexcept;

    struct Open;
    Open* open_ = nullptr;
};

}  // namespace demi
