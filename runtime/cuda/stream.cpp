#include "runtime/cuda/stream.h"

#include <array>
#include <mutex>

#include "runtime/cuda/cuda_call.h"

namespace demi::gpu {

namespace {

struct Streams {
    std::array<std::once_flag, 128> made;
    std::array<cudaStream_t, 128> streams{};

    Stream of(Device device) {
        use_device(device);
        const auto i = static_cast<size_t>(device.index);
        std::call_once(
            made[i], [&] { DEMI_CUDA_CALL(cudaStreamCreateWithFlags(&streams[i], cudaStreamNonBlocking)); });
        return streams[i];
    }
};

}  // namespace

Stream current_stream(Device device) {
    static Streams streams;
    return streams.of(device);
}

Stream side_stream(Device device) {
    static Streams streams;
    return streams.of(device);
}

Stream copy_stream(Device device) {
    static Streams streams;
    return streams.of(device);
}

Event::Event(Device device) : device_(device) {
    use_device(device);
    cudaEvent_t event = nullptr;
    DEMI_CUDA_CALL(cudaEventCreate(&event));
    handle_ = event;
}
Event::~Event() { cudaEventDestroy(static_cast<cudaEvent_t>(handle_)); }

void Event::record() {
    const Stream stream = current_stream(device_);
    DEMI_CUDA_CALL(cudaEventRecord(static_cast<cudaEvent_t>(handle_), static_cast<cudaStream_t>(stream)));
}

void Event::wait() const { DEMI_CUDA_CALL(cudaEventSynchronize(static_cast<cudaEvent_t>(handle_))); }

double Event::milliseconds_since(const Event& begin) const {
    wait();
    float ms = 0;
    DEMI_CUDA_CALL(cudaEventElapsedTime(&ms, static_cast<cudaEvent_t>(begin.handle_),
                                        static_cast<cudaEvent_t>(handle_)));
    return static_cast<double>(ms);
}

}  // namespace demi::gpu
