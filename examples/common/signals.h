#pragma once

// Ctrl-C and SIGTERM ask a run to save and stop; a second signal ends the process at once
// with status 128 + signal.
//
//     StopSignals stop;
//     while (step < steps && !stop.requested()) ...

namespace demi::examples {

// Handles SIGINT and SIGTERM while it lives and puts the earlier handlers back afterwards. One at a time.
class StopSignals {
  public:
    StopSignals();
    ~StopSignals();
    StopSignals(const StopSignals&) = delete;
    StopSignals& operator=(const StopSignals&) = delete;

    bool requested() const { return signal() != 0; }
    int signal() const;        // SIGINT, SIGTERM or 0
    const char* name() const;  // "SIGINT", "SIGTERM" or ""
    int exit_status() const { return signal() == 0 ? 0 : 128 + signal(); }
};

}  // namespace demi::examples
