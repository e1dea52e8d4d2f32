#pragma once

// TensorBoard's events file: numbers of metrics.jsonl as scalars, one record after the other.

#include <memory>
#include <string>

#include "examples/common/record.h"
#include "runtime/non_copyable.h"

namespace demi::examples {

class EventsFile : NonCopyable {
  public:
    // Written anew; throws where it cannot be.
    explicit EventsFile(std::string path);
    ~EventsFile();

    // Every number of the record but `step` and `epoch`, under its own name.
    void add(const Record& record, double wall_time);

  private:
    void put(const std::string& event);

    std::string path_;
    int fd_ = -1;
};

}  // namespace demi::examples
