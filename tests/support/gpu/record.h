#pragma once
// The emulated CUDA graph: what would go to the stream is put down while a graph is recorded, and done when
// it is launched.
#include <functional>

namespace demi::gpu::emulation {

void run_or_record(std::function<void()>&& work);

}  // namespace demi::gpu::emulation
