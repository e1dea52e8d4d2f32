#pragma once
#include "runtime/non_copyable.h"

// Ctrl-C, SIGTERM and SIGHUP ask a run to save and stop; a second signal ends the process at once with status
// 128 + signal. SIGUSR1 (Slurm's way) asks it to save and go on.
//
//     StopSignals stop;
//     while (step < steps && !stop.requested()) ...

namespace demi::examples {

// Handles the four while it lives and puts the earlier handlers back afterwards. One at a time. A signal that
// was ignored before (nohup) stays ignored. `says`: that the run is saved first, on standard error.
class StopSignals : NonCopyable {
  public:
    explicit StopSignals(bool says = true);
    ~StopSignals();

    bool requested() const { return signal() != 0; }
    bool save_requested();     // true once after a SIGUSR1
    int signal() const;        // SIGINT, SIGTERM, SIGHUP or 0
    const char* name() const;  // "SIGINT", "SIGTERM", "SIGHUP" or ""
    int exit_status() const { return signal() == 0 ? 0 : 128 + signal(); }
};

}  // namespace demi::examples
