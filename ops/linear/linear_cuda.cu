#include "ops/linear/linear_cuda.h"

#include "ops/kernel_cuda.h"

namespace demi::gpu_kernels {
namespace {

template <class T> struct AddBiasKernel {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = 256;
    AddBiasCall p;

    DEMI_DEVICE void operator()() const {
        for (int64_t i = gpu::global_index(); i < p.rows * p.width; i += gpu::global_size())
            gpu::store(static_cast<T*>(p.y) + i, static_cast<const C*>(p.x)[i] +
                                                     gpu::load(static_cast<const T*>(p.bias) + i % p.width));
    }
};

// The weight's packs, then the bias's: two tensors in one launch.
template <class T> struct NarrowKernel {
    static constexpr int threads = 256;
    NarrowCall p;
    bool aligned;

    static DEMI_HOST_DEVICE int64_t packs(int64_t count) { return (count + kPack<T> - 1) / kPack<T>; }
    DEMI_DEVICE void operator()() const {
        const int64_t first = packs(p.weights), all = first + packs(p.biases);
        for (int64_t i = gpu::global_index(); i < all; i += gpu::global_size()) {
            const bool weight = i < first;
            const int64_t at = (weight ? i : i - first) * kPack<T>;
            const int64_t left = (weight ? p.weights : p.biases) - at;
            const int count = left < kPack<T> ? static_cast<int>(left) : kPack<T>;
            const bool whole = aligned && count == kPack<T>;
            const float* from = static_cast<const float*>(weight ? p.weight : p.bias) + at;
            write_values(static_cast<T*>(weight ? p.weight_out : p.bias_out) + at,
                         read_beside<T>(from, count, whole), count, whole);
        }
    }
};

template <class T> void launch_narrow(const NarrowCall& call, gpu::Stream stream) {
    typedef NarrowKernel<T> Kernel;
    const bool aligned = all_aligned(call.weight, call.bias, call.weight_out, call.bias_out);
    const int64_t packs = Kernel::packs(call.weights) + Kernel::packs(call.biases);
    gpu::launch(Kernel{call, aligned}, gpu::blocks_for(packs, 256), {256}, 0, stream);
}

}  // namespace

void narrow(DType type, const NarrowCall& call, gpu::Stream stream) {
    if (type == DType::f16)
        launch_narrow<Half>(call, stream);
    else
        launch_narrow<BFloat16>(call, stream);
}

void add_bias(DType type, const AddBiasCall& call, gpu::Stream stream) {
    gpu::dispatch_float(type, [&](auto tag) {
        typedef gpu::tag_t<decltype(tag)> T;
        gpu::launch(AddBiasKernel<T>{call}, gpu::blocks_for(call.rows * call.width, 256), {256}, 0, stream);
    });
}

}  // namespace demi::gpu_kernels
