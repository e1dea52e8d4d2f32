#include "ops/adamw/adamw_cuda.h"

#include "ops/common/tensor_list.cuh"

namespace demi::gpu_kernels {
namespace {

template <class C>
DEMI_DEVICE void update(const AdamwNumbers<C>& n, C scale, C grad, C& param, C& exp_avg, C& exp_avg_sq) {
    const C d = grad * scale;
    exp_avg = gpu::fma(n.beta1_rest, d - exp_avg, exp_avg);
    exp_avg_sq = gpu::fma(n.beta2_rest * d, d, n.beta2 * exp_avg_sq);
    const C change = n.step_size * (exp_avg / (gpu::sqrt(exp_avg_sq) / n.root_correction + n.eps));
    param = n.decay * param - change;
}

struct AdamwKernel {
    static constexpr int threads = kListThreads;
    AdamwCall<float> p;

    DEMI_DEVICE void operator()() const {
        for_quads(p.list, [&](const Entry& e, int64_t at, int count, bool whole) {
            const AdamwNumbers<float>& n = (p.live != nullptr ? p.live : p.groups)[e.group];
            const float scale = static_cast<float>(static_cast<double>(n.grad_scale) * e.scale);
            Quad param = load_quad(e.type[0], e.data[0], at, count, whole);
            const Quad grad = load_quad(e.type[1], e.data[1], at, count, whole);
            Quad m = load_quad(DType::f32, e.data[2], at, count, whole);
            Quad v = load_quad(DType::f32, e.data[3], at, count, whole);
            DEMI_UNROLL
            for (int i = 0; i < 4; ++i) update(n, scale, grad.v[i], param.v[i], m.v[i], v.v[i]);
            store_quad(DType::f32, e.data[2], at, m, count, whole);
            store_quad(DType::f32, e.data[3], at, v, count, whole);
            store_quad(e.type[0], e.data[0], at, param, count, whole);
        });
    }
};

struct AdamwKernel64 {
    static constexpr int threads = kListThreads;
    AdamwCall<double> p;

    DEMI_DEVICE void operator()() const {
        for_quads(p.list, [&](const Entry& e, int64_t at, int count, bool) {
            const AdamwNumbers<double>& n = (p.live != nullptr ? p.live : p.groups)[e.group];
            for (int64_t i = at; i < at + count; ++i)
                update(n, n.grad_scale * e.scale, static_cast<const double*>(e.data[1])[i],
                       static_cast<double*>(e.data[0])[i], static_cast<double*>(e.data[2])[i],
                       static_cast<double*>(e.data[3])[i]);
        });
    }
};

}  // namespace

void adamw_step(const AdamwCall<float>& call, gpu::Stream stream) {
    launch_list(AdamwKernel{call}, call.list, stream);
}
void adamw_step(const AdamwCall<double>& call, gpu::Stream stream) {
    launch_list(AdamwKernel64{call}, call.list, stream);
}

}  // namespace demi::gpu_kernels
