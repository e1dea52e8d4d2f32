#pragma once
// Internal: small transfers between host and device, through page-locked staging memory, in stream order.
#include "runtime/cuda/gpu_types.h"
#include "runtime/device.h"

namespace demi::gpu {

void read_back(void* host, const void* device, size_t bytes,
               Device where);                                             // returns when the bytes are there
void upload(void* device, const void* host, size_t bytes, Device where);  // `host` may be reused at once
// The same over a second stream, for memory that is new: behind all that the device was asked for so far, beside what
// comes later. Returns when the bytes are there.
void upload_beside(void* device, const void* host, size_t bytes, Device where);
void fill_bytes(void* device, int value, size_t bytes, Device where);  // like memset, asynchronous

}  // namespace demi::gpu
