#include "examples/common/run_status.h"

#include <cmath>

#include "examples/common/files.h"
#include "examples/common/record.h"

namespace demi::examples {

void write_status(const std::string& path, const RunStatus& status) {
    Record r;
    r.add("state", status.state).add("step", status.step).add("steps", status.steps);
    r.add("seconds", status.clock.seconds).add("training_seconds", status.clock.training);
    r.add("images", status.clock.images);
    write_atomically(path, to_json(r) + "\n");
}

RunStatus read_status(const std::string& path) {
    RunStatus status;
    if (!exists(path)) return status;
    const auto r = parse_record(read_text(path));
    if (!r) return status;
    const auto number = [&](const char* key) {
        const double value = r->number(key);
        return value >= 0 && value < 1e15 ? value : 0;
    };
    status.state = r->text("state");
    status.step = static_cast<int64_t>(number("step"));
    status.steps = static_cast<int64_t>(number("steps"));
    status.clock.seconds = number("seconds");
    status.clock.training = number("training_seconds");
    status.clock.images = static_cast<int64_t>(number("images"));
    return status;
}

}  // namespace demi::examples
