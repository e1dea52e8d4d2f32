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

Staging& staging_of(Device device) {
    static auto* all = new std::array<Staging, 128>;  // never destroyed: the driver goes away before
    return (*all)[static_cast<size_t>(device.index)];
}

cudaStream_t stream_of(Device device) { return static_cast<cudaStream_t>(current_stream(device)); }

}  // namespace

void upload(void* device, const void* host, size_t bytes, Device where) {
    refuse_in_capture(where, "send values to");
    const cudaStream_t stream = stream_of(where);
    Staging& staging = staging_of(where);
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
