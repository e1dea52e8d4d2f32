#pragma once
// Internal: what gpu::launch calls around a launch, apart from the kernel files so that these need no C++20.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu {

// Throws Error for a block or grid that no device takes, with the kernel's name.
void check_launch_size(const char* kernel, Dim3 grid, Dim3 block, size_t shared_bytes, int max_threads);
// Throws Error with the text of a CUDA error code (0 is success); `call` says what failed.
void check_call(int code, const char* call);

// Kernel::threads where a kernel says how large its blocks get, else the most a block may have.
template <class Kernel, class = void> struct ThreadsOf { static constexpr int value = 1024; };
template <class Kernel> struct ThreadsOf<Kernel, decltype(void(Kernel::threads))> {
    static constexpr int value = Kernel::threads;
};
// Kernel::blocks where a kernel says how many of its largest blocks a multiprocessor shall hold at once.
template <class Kernel, class = void> struct BlocksOf { static constexpr int value = 1; };
template <class Kernel> struct BlocksOf<Kernel, decltype(void(Kernel::blocks))> {
    static constexpr int value = Kernel::blocks;
};

}  // namespace demi::gpu
