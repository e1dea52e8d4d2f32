#pragma once
// Internal: DEMI_CUDA_CALL(cudaFree(p)) throws an Error that holds the call and CUDA's
// text for what went wrong.
#include <cuda_runtime.h>

#include "runtime/cuda/launch.h"
#include "runtime/device.h"

#define DEMI_CUDA_CALL(...) ::demi::gpu::check_call(static_cast<int>(__VA_ARGS__), #__VA_ARGS__)

namespace demi::gpu {

// Makes `device` the current one of this thread; throws where this machine has no such GPU.
void use_device(Device device);

}  // namespace demi::gpu
