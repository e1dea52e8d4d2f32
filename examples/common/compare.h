#pragma once

// Several runs on one page: their curves over each other, what they reached, and the settings that differ.

#include <string>
#include <vector>

#include "examples/common/report.h"

namespace demi::examples {

struct RunSummary {
    std::string name;  // the part of its path that tells it from the others
    std::string program, state;
    Record options;
    std::vector<Record> metrics;
    double seconds = 0;
};

// Throws for a folder that holds no run.
RunSummary read_run(const std::string& path);
Report compare_runs(std::vector<RunSummary> runs);

}  // namespace demi::examples
