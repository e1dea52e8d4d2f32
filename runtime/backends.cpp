#include "runtime/backends.h"

#include <algorithm>

#include "runtime/allocator.h"
#include "runtime/check.h"
#include "runtime/profile.h"

#ifdef DEMI_CUDA
#include "runtime/cuda/stream.h"
#endif

namespace demi {

Queue queue_of(Device device) {
#ifdef DEMI_CUDA
    if (device.is_cuda()) return {gpu::current_stream(device), device.index};
#endif
    (void)device;
    return {};
}

const void* detail::table_on(Device device, const char* op, const void* const* tables) {
    profile_kernel(device);
    if (device.is_cpu()) return tables[static_cast<int>(std::min(cpu_isa(), Isa::v4))];
    check(tables[3] != nullptr, op,
          "this build has no CUDA kernels (configure with -Dcuda=enabled): asked for ", device);
    return tables[3];
}

static Device device_of(Queue queue) { return queue.device < 0 ? Device::cpu() : Device::cuda(queue.device); }

Scratch::Scratch(size_t bytes, Queue queue)
    : data_(bytes > 0 ? allocate(device_of(queue), bytes) : nullptr), bytes_(bytes), queue_(queue) {}

Scratch::~Scratch() {
    if (bytes_ > 0) release(device_of(queue_), data_, bytes_);
}

}  // namespace demi
