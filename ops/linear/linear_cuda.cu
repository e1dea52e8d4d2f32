#include "ops/linear/linear_cuda.h"

#include "runtime/cuda/gpu.h"

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

}  // namespace

void add_bias(gpu::Type type, const AddBiasCall& call, gpu::Stream stream) {
    gpu::dispatch_float(type, [&](auto tag) {
        typedef gpu::tag_t<decltype(tag)> T;
        gpu::launch(AddBiasKernel<T>{call}, gpu::blocks_for(call.rows * call.width, 256), {256}, 0, stream);
    });
}

}  // namespace demi::gpu_kernels
