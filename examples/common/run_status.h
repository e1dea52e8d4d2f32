#pragma once

// status.json of a run folder: how far the run is, and the time that all its processes took together.

#include <cstdint>
#include <string>

namespace demi::examples {

struct RunClock {
    double seconds = 0;   // of the whole run, over all resumes
    double training = 0;  // of them in training steps
    int64_t images = 0;   // pictures trained on in that time

    // Pictures a second; 0: not known.
    double speed() const { return training > 0 && images > 0 ? static_cast<double>(images) / training : 0; }
};

struct RunStatus {
    std::string state;  // "running", "interrupted", "finished", "failed"
    int64_t step = 0, steps = 0;
    RunClock clock;
};

void write_status(const std::string& path, const RunStatus& status);
// Zeros for a file that is not there or is none.
RunStatus read_status(const std::string& path);

}  // namespace demi::examples
