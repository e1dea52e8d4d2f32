// The device table of CUDA. Nothing here runs before it is needed, and without a driver
// there are simply no devices.
#include <array>
#include <mutex>

#include "runtime/capture.h"
#include "runtime/check.h"
#include "runtime/cuda/cuda_call.h"
#include "runtime/cuda/graph.h"
#include "runtime/cuda/pinned.h"
#include "runtime/cuda/stream.h"
#include "runtime/device_api.h"

namespace demi {
namespace {

struct Found {
    int count = 0;
    std::string why;
};

const Found& found() {
    static const Found result = [] {
        Found f;
        const cudaError_t error = cudaGetDeviceCount(&f.count);
        if (error != cudaSuccess) {
            int driver = 0;
            cudaDriverGetVersion(&driver);
            f.count = 0;
            f.why = driver == 0 ? "this machine has no driver"
                                : std::string("no GPU can be used: ") + cudaGetErrorString(error);
            cudaGetLastError();  // so that no later call reports it
        } else if (f.count == 0) {
            f.why = "this machine has no GPU";
        }
        return f;
    }();
    return result;
}

// The pool of the device keeps what is given back (its threshold is unlimited). The caching allocator in
// front of it answers most requests without any call, which also lets a training step be captured as a graph;
// what it drops when memory is short goes back to the pool, where neighbours become one again. While the
// device's work is recorded memory comes past the record, which would hold the allocation otherwise.
gpu::Stream memory_stream(Device device) {
    return gpu::recording(device) ? gpu::side_stream(device) : gpu::current_stream(device);
}

void* cuda_allocate(Device device, size_t bytes) {
    const gpu::Stream stream = memory_stream(device);
    static std::array<std::once_flag, 128> prepared;
    std::call_once(prepared[static_cast<size_t>(device.index)], [&] {
        cudaMemPool_t pool = nullptr;
        uint64_t keep_all = ~uint64_t{0};
        DEMI_CUDA_CALL(cudaDeviceGetDefaultMemPool(&pool, device.index));
        DEMI_CUDA_CALL(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep_all));
    });
    void* pointer = nullptr;
    const cudaError_t error = cudaMallocAsync(&pointer, bytes, static_cast<cudaStream_t>(stream));
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return nullptr;
    }
    gpu::check_call(static_cast<int>(error), "cudaMallocAsync");
    if (gpu::recording(device)) DEMI_CUDA_CALL(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)));
    return pointer;
}

void cuda_release(Device device, void* pointer) {
    const cudaError_t error = cudaFreeAsync(pointer, static_cast<cudaStream_t>(memory_stream(device)));
    if (error == cudaErrorCudartUnloading) return;  // a static Tensor at the end of the program
    gpu::check_call(static_cast<int>(error), "cudaFreeAsync");
}

void cuda_copy(void* dst, Device to, const void* src, Device from, size_t bytes) {
    if (bytes == 0) return;
    if (from.is_cpu()) return gpu::upload(dst, src, bytes, to);
    if (to.is_cpu()) return gpu::read_back(dst, src, bytes, from);
    if (from == to) {
        const gpu::Stream stream = gpu::current_stream(to);
        DEMI_CUDA_CALL(
            cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, static_cast<cudaStream_t>(stream)));
        return;
    }
    synchronize(from);
    const gpu::Stream stream = gpu::current_stream(to);
    DEMI_CUDA_CALL(
        cudaMemcpyPeerAsync(dst, to.index, src, from.index, bytes, static_cast<cudaStream_t>(stream)));
    synchronize(to);
}

void cuda_synchronize(Device device) {
    refuse_in_capture(device, "wait for");
    const gpu::Stream stream = gpu::current_stream(device);
    DEMI_CUDA_CALL(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)));
}

size_t cuda_free_bytes(Device device) {
    gpu::use_device(device);
    size_t free = 0, total = 0;
    DEMI_CUDA_CALL(cudaMemGetInfo(&free, &total));
    return free;
}

}  // namespace

std::string cuda_missing_reason() { return found().why; }

extern const DeviceApi cuda_device_api;
const DeviceApi cuda_device_api{
    [] { return found().count; }, cuda_allocate, cuda_release, cuda_copy, cuda_synchronize, cuda_free_bytes};

namespace gpu {

void use_device(Device device) {
    thread_local int current = -1;
    if (device.index == current) return;
    check(found().why.empty(), "cuda", found().why);
    check(device.index < found().count, "cuda", "this machine has ", found().count, " GPUs: asked for ",
          device);
    DEMI_CUDA_CALL(cudaSetDevice(device.index));
    current = device.index;
}

void check_call(int code, const char* call) {
    if (code == 0) [[likely]]
        return;
    const auto error = static_cast<cudaError_t>(code);
    cudaGetLastError();
    fail("cuda", call, " failed, or work queued before it: ", cudaGetErrorName(error), ", ",
         cudaGetErrorString(error));
}

}  // namespace gpu
}  // namespace demi
