#include "ops/ema/ema_cuda.h"

#include "ops/common/tensor_list.cuh"

namespace demi::gpu_kernels {
namespace {

struct EmaKernel {
    static constexpr int threads = kListThreads;
    TensorList list;
    double momentum;

    DEMI_DEVICE void operator()() const {
        const float keep = static_cast<float>(momentum), take = static_cast<float>(1 - momentum);
        for_quads(list, [&](const Entry& e, int64_t at, int count, bool whole) {
            if (e.type[0] == DType::f64) {
                double* to = static_cast<double*>(e.data[0]);
                const double* from = static_cast<const double*>(e.data[1]);
                for (int64_t i = at; i < at + count; ++i) to[i] = momentum * to[i] + (1 - momentum) * from[i];
                return;
            }
            Quad to = load_quad(e.type[0], e.data[0], at, count, whole);
            const Quad from = load_quad(e.type[1], e.data[1], at, count, whole);
            DEMI_UNROLL
            for (int i = 0; i < 4; ++i) to.v[i] = keep * to.v[i] + take * from.v[i];
            store_quad(e.type[0], e.data[0], at, to, count, whole);
        });
    }
};

}  // namespace

void ema_update(const TensorList& list, double momentum, gpu::Stream stream) {
    launch_list(EmaKernel{list, momentum}, list, stream);
}

}  // namespace demi::gpu_kernels
