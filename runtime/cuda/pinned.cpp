#include "runtime/cuda/pinned.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>

#include "runtime/capture.h"
#include "runtime/cuda/cuda_call.h"
#include "runtime/cuda/stream.h"

namespace demi::gpu {
namespace {

constexpr size_t kPieceBytes = size_t{4} << 20;

// Page-locked memory in pieces that are filled and sent in turn: while one travels,
// the host works on the next.
struct Staging {
    struct Piece {
        void* memory = nullptr;
        cudaEvent_t done = nullptr;
    };
    std::mutex mutex;
    std::array<Piece, 2> pieces;
    size_t next = 0;

    // The piece whose last transfer is the oldest; waits for it.
    Piece& take() {
        Piece& piece = pieces[next++ % pieces.size()];
        if (piece.memory == nullptr) {
            DEMI_CUDA_CALL(cudaMallocHost(&piece.memory, kPieceBytes));
            DEMI_CUDA_CALL(cudaEventCreateWithFlags(&piece.done, cudaEventDisableTiming));
        }
        DEMI_CUDA_CALL(cudaEventSynchronize(piece.done));
        return piece;
    }
};

Staging& staging_of(Device device, bool beside = false) {
    static auto* all = new std::array<Staging, 256>;  // never destroyed: the driver goes away before
    return (*all)[2 * static_cast<size_t>(device.index) + (beside ? 1 : 0)];
}

cudaStream_t stream_of(Device device) { return static_cast<cudaStream_t>(current_stream(device)); }

void send(Staging& staging, cudaStream_t stream, void* device, const void* host, size_t bytes) {
    std::lock_guard lock(staging.mutex);
    for (size_t at = 0; at < bytes; at += kPieceBytes) {
        Staging::Piece& piece = staging.take();
        const size_t part = std::min(kPieceBytes, bytes - at);
        std::memcpy(piece.memory, static_cast<const char*>(host) + at, part);
        DEMI_CUDA_CALL(cudaMemcpyAsync(static_cast<char*>(device) + at, piece.memory, part,
                                       cudaMemcpyHostToDevice, stream));
        DEMI_CUDA_CALL(cudaEventRecord(piece.done, stream));
    }
}

}  // namespace

void upload(void* device, const void* host, size_t bytes, Device where) {
    refuse_in_capture(where, "send values to");
    send(staging_of(where), stream_of(where), device, host, bytes);
}

void upload_beside(void* device, const void* host, size_t bytes, Device where) {
    const auto beside = static_cast<cudaStream_t>(copy_stream(where));
    // The memory may be what work under way still uses, which gave it back when it was asked for.
    cudaEvent_t so_far = nullptr;
    DEMI_CUDA_CALL(cudaEventCreateWithFlags(&so_far, cudaEventDisableTiming));
    DEMI_CUDA_CALL(cudaEventRecord(so_far, stream_of(where)));
    DEMI_CUDA_CALL(cudaStreamWaitEvent(beside, so_far, 0));
    DEMI_CUDA_CALL(cudaEventDestroy(so_far));
    send(staging_of(where, true), beside, device, host, bytes);
    DEMI_CUDA_CALL(cudaStreamSynchronize(beside));
}

void read_back(void* host, const void* device, size_t bytes, Device where) {
    refuse_in_capture(where, "read values back from");
    const cudaStream_t stream = stream_of(where);
    Staging& staging = staging_of(where);
    std::lock_guard lock(staging.mutex);
    struct Arriving {
        Staging::Piece* piece = nullptr;
        size_t at = 0, bytes = 0;
    } before;
    const auto land = [&](const Arriving& a) {
        if (a.piece == nullptr) return;
        DEMI_CUDA_CALL(cudaEventSynchronize(a.piece->done));
        std::memcpy(static_cast<char*>(host) + a.at, a.piece->memory, a.bytes);
    };
    for (size_t at = 0; at < bytes; at += kPieceBytes) {
        const Arriving now{&staging.take(), at, std::min(kPieceBytes, bytes - at)};
        DEMI_CUDA_CALL(cudaMemcpyAsync(now.piece->memory, static_cast<const char*>(device) + at, now.bytes,
                                       cudaMemcpyDeviceToHost, stream));
        DEMI_CUDA_CALL(cudaEventRecord(now.piece->done, stream));
        land(before);
        before = now;
    }
    land(before);
}

void fill_bytes(void* device, int value, size_t bytes, Device where) {
    DEMI_CUDA_CALL(cudaMemsetAsync(device, value, bytes, stream_of(where)));
}

}  // namespace demi::gpu
