#pragma once

// metrics.jsonl: one JSON object per line, one line per event of the training run. Every object has an
// integer "step". NaN and infinities, which JSON lacks, are the strings "nan", "inf" and "-inf".
//
// A resumed run cuts off what lies beyond its checkpoint and appends, so that its file equals that of a run
// without a break (as far as the fields do not hold times). For that, write the lines of a step before saving
// that step's checkpoint and call sync() first; a line that comes later (a test's) is written again by a
// resumed run that does not find it.

#include <cstdint>
#include <string>
#include <vector>

#include "examples/common/events.h"
#include "examples/common/record.h"
#include "runtime/non_copyable.h"

namespace demi::examples {

class MetricsWriter : NonCopyable {
  public:
    // Starts an empty file.
    explicit MetricsWriter(std::string path);
    // Keeps the lines up to and including `resumed_step`, drops the rest and a torn last
    // line, and appends from there.
    MetricsWriter(std::string path, int64_t resumed_step);
    ~MetricsWriter();

    // One line, handed to the system at once. On a full disk the file is cut back to whole
    // lines and an Error is thrown.
    void write(const Record& record);
    void sync();  // to the disk

    // TensorBoard's file beside it, written anew: what is there already, and from now on every line.
    void mirror(const std::string& path);

  private:
    std::string path_;
    int fd_ = -1;
    int64_t size_ = 0;
    std::unique_ptr<EventsFile> events_;
};

// All lines in order. A torn last line is left out; any other line that is not an object
// throws and names its number.
std::vector<Record> read_metrics(const std::string& path);

// The pairs (x, y) of the records that have both fields: what a curve of the report takes.
struct Columns {
    std::vector<double> x, y;
};
Columns columns(const std::vector<Record>& records, const std::string& x, const std::string& y);

}  // namespace demi::examples
