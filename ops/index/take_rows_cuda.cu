#include "ops/index/take_rows_cuda.h"

#include "runtime/cuda/gpu.h"

namespace demi::gpu_kernels {
namespace {

template <class U> struct TakeRowsKernel {
    static constexpr int threads = 256;
    TakeRowsCall p;
    int64_t units;  // in a row

    DEMI_DEVICE void operator()() const {
        const int64_t all = p.a * p.n * units;
        for (int64_t k = gpu::global_index(); k < all; k += gpu::global_size()) {
            const int64_t row = k / units, unit = k - row * units, a = row / p.n, i = row - a * p.n;
            static_cast<U*>(p.y)[k] =
                static_cast<const U*>(p.x)[(a * p.s + p.index[a * p.step + i]) * units + unit];
        }
    }
};

template <class U> void launch(const TakeRowsCall& call, gpu::Stream stream) {
    const int64_t units = call.bytes / static_cast<int64_t>(sizeof(U));
    gpu::launch(TakeRowsKernel<U>{call, units}, gpu::blocks_for(call.a * call.n * units, 256), {256}, 0,
                stream);
}

}  // namespace

void take_rows(const TakeRowsCall& call, gpu::Stream stream) {
    const uintptr_t all = reinterpret_cast<uintptr_t>(call.x) | reinterpret_cast<uintptr_t>(call.y) |
                          static_cast<uintptr_t>(call.bytes);
    if (all % 16 == 0)
        launch<gpu::Bytes16>(call, stream);
    else if (all % 8 == 0)
        launch<uint64_t>(call, stream);
    else if (all % 4 == 0)
        launch<uint32_t>(call, stream);
    else if (all % 2 == 0)
        launch<uint16_t>(call, stream);
    else
        launch<uint8_t>(call, stream);
}

}  // namespace demi::gpu_kernels
