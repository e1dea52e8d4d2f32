#pragma once
// Data for the next steps, on their way while the device is at work.
#include "runtime/tensor.h"

namespace demi {

// A tensor of the CPU on the device: over a second stream and through page-locked memory, beside what the device does
// meanwhile. Returns when it is there. Any thread may call it; while another one records a step
// (runtime/captured_step.h) it waits for the end of the record. On the CPU: `host` itself.
Tensor upload(const Tensor& host, Device device);

}  // namespace demi
