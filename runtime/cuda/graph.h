#pragma once
// Internal: a device's work between begin() and end() as one thing to launch, a CUDA graph. Nothing runs
// while it is recorded. Throws Error with the text of the call that failed.
#include "runtime/device.h"
#include "runtime/non_copyable.h"

namespace demi::gpu {

class Graph : NonCopyable {
  public:
    explicit Graph(Device device) : device_(device) {}
    ~Graph();

    void begin();
    void end();
    void abandon() noexcept;  // after an error between begin() and end()
    void launch();            // asynchronous, in the device's order

  private:
    Device device_;
    void* executable_ = nullptr;
    bool recording_ = false;
};

bool recording(Device device);

}  // namespace demi::gpu
