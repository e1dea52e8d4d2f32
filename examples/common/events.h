#pragma once

// TensorBoard's events file: numbers of metrics.jsonl as scalars, one record after the other.

#include <memory>
#include <string>

#include "examples/common/record.h"

namespace demi::examples {

class EventsFile {
  public:
    // Written anew; throws where it cannot be.
    explicit EventsFile(std::string path);
    ~EventsFile();
    EventsFile(const EventsFile&) = delete;
    EventsFile& operator=(const EventsFile&) = delete;

    // Every number of the record but `step` and `epoch`, under its own name.
    void add(const Record& record, double wall_time);

  private:
    void put(const std::string& event);

    std::string path_;
    int fd_ = -1;
};

}  // namespace demi::examples
