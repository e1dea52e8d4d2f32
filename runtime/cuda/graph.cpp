#include "runtime/cuda/graph.h"

#include <array>
#include <atomic>

#include "runtime/cuda/cuda_call.h"
#include "runtime/cuda/stream.h"

namespace demi::gpu {
namespace {

std::array<std::atomic<bool>, 128> recorded_now{};

std::atomic<bool>& flag_of(Device device) { return recorded_now[static_cast<size_t>(device.index)]; }

}  // namespace

bool recording(Device device) { return flag_of(device).load(std::memory_order_relaxed); }

Graph::~Graph() {
    if (executable_ != nullptr) cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(executable_));
}

void Graph::begin() {
    const auto stream = static_cast<cudaStream_t>(current_stream(device_));
    DEMI_CUDA_CALL(cudaStreamSynchronize(stream));
    // Relaxed: what is asked for beside the stream meanwhile (memory, a kernel's code) is our own business.
    DEMI_CUDA_CALL(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    recording_ = true;
    flag_of(device_) = true;
}

void Graph::end() {
    recording_ = false;
    flag_of(device_) = false;
    cudaGraph_t graph = nullptr;
    DEMI_CUDA_CALL(cudaStreamEndCapture(static_cast<cudaStream_t>(current_stream(device_)), &graph));
    cudaGraphExec_t executable = nullptr;
    const cudaError_t error = cudaGraphInstantiateWithFlags(&executable, graph, 0);
    cudaGraphDestroy(graph);
    check_call(static_cast<int>(error), "cudaGraphInstantiateWithFlags");
    executable_ = executable;
}

void Graph::abandon() noexcept {
    if (!recording_) return;
    recording_ = false;
    flag_of(device_) = false;
    cudaGraph_t graph = nullptr;
    if (cudaStreamEndCapture(static_cast<cudaStream_t>(current_stream(device_)), &graph) == cudaSuccess)
        cudaGraphDestroy(graph);
    cudaGetLastError();  // a capture that was invalid says so here; the reason was thrown already
}

void Graph::launch() {
    DEMI_CUDA_CALL(cudaGraphLaunch(static_cast<cudaGraphExec_t>(executable_),
                                   static_cast<cudaStream_t>(current_stream(device_))));
}

}  // namespace demi::gpu
