#pragma once
// Internal: what a captured step keeps. Shared by capture.cpp (filled while the step is
// recorded) and captured_step.cpp.
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/allocator.h"
#include "runtime/captured_step.h"
#include "runtime/tensor.h"

#ifdef DEMI_CUDA
#include "runtime/cuda/graph.h"
#endif

namespace demi {

// Device memory with its copy on the host.
struct Mirror {
    Tensor memory;  // u8
    std::vector<char> host;
    size_t used = 0;
};

struct CapturedStep::Record {
    explicit Record(Device where);
    ~Record();

    // `bytes` of a mirror, at a multiple of 64.
    struct Place {
        Tensor memory;  // u8
        char* host;
    };
    Place take(std::vector<std::unique_ptr<Mirror>>& mirrors, size_t bytes);
    void send(std::vector<std::unique_ptr<Mirror>>& mirrors);

    Device device;
    PrivatePool pool;
    std::vector<std::unique_ptr<Mirror>> live, constant;
    std::vector<std::function<void()>> host_part;
#ifdef DEMI_CUDA
    gpu::Graph graph{device};
#endif
};

// The record that this thread fills, or null.
CapturedStep::Record*& current_record();

// Held while a step is recorded, and by what other threads ask of a device.
std::mutex& record_mutex();

}  // namespace demi
