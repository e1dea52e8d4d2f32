#pragma once
// Internal: the order of work on a GPU. Every device has one stream; kernels and copies run on it
// in the order in which they were asked for, so that memory which a Tensor gives back can be
// taken by the next at once.
#include <string>

#include "runtime/cuda/gpu_types.h"
#include "runtime/device.h"
#include "runtime/non_copyable.h"

namespace demi {

std::string cuda_missing_reason();  // why there is no GPU to use, "" where there is one

namespace gpu {

Stream current_stream(Device device);  // makes the device the current one of this thread, too

Stream side_stream(Device device);  // for memory while the first is recorded
Stream copy_stream(Device device);  // for data that travel beside the first

// A point in a stream's work; for timing.
class Event : NonCopyable {
  public:
    explicit Event(Device device);
    ~Event();
    void record();      // now, on the device's stream
    void wait() const;  // until the device has come to it
    double milliseconds_since(const Event& begin) const;

  private:
    Device device_;
    void* handle_ = nullptr;
};

}  // namespace gpu
}  // namespace demi
