#pragma once
// What an op has to know while a step is captured (runtime/captured_step.h). Kernels are recorded with the
// numbers that they were given, so a number that differs from step to step must lie in device memory, and
// what makes it on the host is done again before each replay, in the order in which the step did it.
#include <functional>
#include <string>

#include "runtime/random.h"
#include "runtime/tensor.h"

namespace demi {

// True between the beginning and the end of a capture of this device by this thread; never for the CPU.
bool capturing(Device device);
bool capturing();  // any device

// Before every replay but the first: the first is the step that was captured, which has done this itself.
void before_replay(Device device, std::function<void()> fn);
void before_replay(std::function<void()> fn);  // of whatever is captured

// `shape` on the device, filled by `fill` on the host: now, and before every later replay. The memory stays
// where it is and is only read by the step.
Tensor live_tensor(const Shape& shape, DType dtype, Device device, std::function<void(void* host)> fill);

// Bytes that stay as they are, 64-byte aligned, for tables that kernels read.
Tensor constant_bytes(Device device, const void* bytes, size_t count);

// A place in a random stream; `live`: its offset in device memory in a captured step, else null.
struct LiveDraw {
    uint64_t seed = 0, offset = 0;
    const uint64_t* live = nullptr;
};
LiveDraw take_draw(Generator& generator, int64_t words, Device device);

// A number that may differ from replay to replay: `again` says what it is then. A
// plain double stays as it is.
struct LiveNumber {
    double value = 0;
    std::function<double()> again{};

    LiveNumber(double v) : value(v) {}
    explicit LiveNumber(std::function<double()> fn);
};
const double* live_number(const LiveNumber& number, Device device);  // null where nothing is captured

// Throws "[op] a captured step cannot <what> <device>" while the device is being captured; the op is the
// innermost ProfileScope of the thread.
void refuse_in_capture(Device device, const char* what);

}  // namespace demi
