#include "ops/common/activation_cuda.h"

#include "ops/common/activation.cuh"
#include "ops/kernel_cuda.h"

namespace demi::gpu_kernels {
namespace {

template <class T, class Fn, bool kBackward> struct ActivationKernel {
    static constexpr int threads = 256;
    ActivationCall p;
    bool aligned;

    DEMI_DEVICE void operator()() const {
        const T *in = static_cast<const T*>(p.x), *grad = static_cast<const T*>(p.dy);
        for_flat_packs<T>(p.count, aligned, [&](int64_t at, int count, bool whole) {
            Values<T> x = read_values(in + at, count, whole), dy;
            if (kBackward) dy = read_values(grad + at, count, whole);
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i)
                x.v[i] = kBackward ? Fn::grad(x.v[i], dy.v[i]) : Fn::value(x.v[i]);
            write_values(static_cast<T*>(p.y) + at, x, count, whole);
        });
    }
};

template <bool kBackward>
void launch(ActivationFn fn, DType type, const ActivationCall& call, gpu::Stream stream) {
    gpu::dispatch_float(type, [&](auto tag) {
        typedef gpu::tag_t<decltype(tag)> T;
        const bool aligned = all_aligned(call.x, call.dy, call.y);
        const gpu::Dim3 grid = gpu::blocks_for((call.count + kPack<T> - 1) / kPack<T>, 256);
        if (fn == ActivationFn::gelu)
            gpu::launch(ActivationKernel<T, Gelu, kBackward>{call, aligned}, grid, {256}, 0, stream);
        else if (fn == ActivationFn::silu)
            gpu::launch(ActivationKernel<T, Silu, kBackward>{call, aligned}, grid, {256}, 0, stream);
        else
            gpu::launch(ActivationKernel<T, Relu, kBackward>{call, aligned}, grid, {256}, 0, stream);
    });
}

}  // namespace

void activation_forward(ActivationFn fn, DType type, const ActivationCall& call, gpu::Stream stream) {
    launch<false>(fn, type, call, stream);
}
void activation_backward(ActivationFn fn, DType type, const ActivationCall& call, gpu::Stream stream) {
    launch<true>(fn, type, call, stream);
}

}  // namespace demi::gpu_kernels
