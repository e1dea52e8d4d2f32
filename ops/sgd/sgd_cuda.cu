#include "ops/sgd/sgd_cuda.h"

#include "ops/common/tensor_list.cuh"

namespace demi::gpu_kernels {
namespace {

// buffer: null without momentum.
template <class C>
DEMI_DEVICE void update(const SgdCall<C>& p, const SgdNumbers<C>& n, C scale, C grad, C& param, C* buffer) {
    C d = gpu::fma(n.weight_decay, param, grad * scale);
    if (buffer != nullptr) {
        *buffer = gpu::fma(p.momentum, *buffer, d);
        d = p.nesterov != 0 ? gpu::fma(p.momentum, *buffer, d) : *buffer;
    }
    param = gpu::fma(-n.lr, d, param);
}

struct SgdKernel {
    static constexpr int threads = kListThreads;
    SgdCall<float> p;

    DEMI_DEVICE void operator()() const {
        for_quads(p.list, [&](const Entry& e, int64_t at, int count, bool whole) {
            const float scale = static_cast<float>(static_cast<double>(p.grad_scale) * e.scale);
            Quad param = load_quad(e.type[0], e.data[0], at, count, whole), buffer{{0, 0, 0, 0}};
            const Quad grad = load_quad(e.type[1], e.data[1], at, count, whole);
            const bool kept = e.data[2] != nullptr;
            if (kept) buffer = load_quad(DType::f32, e.data[2], at, count, whole);
            DEMI_UNROLL
            for (int i = 0; i < 4; ++i)
                update(p, (p.live != nullptr ? p.live : p.groups)[e.group], scale, grad.v[i], param.v[i],
                       kept ? &buffer.v[i] : nullptr);
            if (kept) store_quad(DType::f32, e.data[2], at, buffer, count, whole);
            store_quad(e.type[0], e.data[0], at, param, count, whole);
        });
    }
};

struct SgdKernel64 {
    static constexpr int threads = kListThreads;
    SgdCall<double> p;

    DEMI_DEVICE void operator()() const {
        for_quads(p.list, [&](const Entry& e, int64_t at, int count, bool) {
            for (int64_t i = at; i < at + count; ++i)
                update(p, (p.live != nullptr ? p.live : p.groups)[e.group], p.grad_scale * e.scale,
                       static_cast<const double*>(e.data[1])[i], static_cast<double*>(e.data[0])[i],
                       e.data[2] != nullptr ? static_cast<double*>(e.data[2]) + i : nullptr);
        });
    }
};

}  // namespace

void sgd_step(const SgdCall<float>& call, gpu::Stream stream) {
    launch_list(SgdKernel{call}, call.list, stream);
}
void sgd_step(const SgdCall<double>& call, gpu::Stream stream) {
    launch_list(SgdKernel64{call}, call.list, stream);
}

}  // namespace demi::gpu_kernels
