#include "ops/grad_norm/grad_norm_cuda.h"

#include "ops/common/tensor_list.cuh"

namespace demi::gpu_kernels {
namespace {

// Each block has its own chunk.
struct SquaresKernel {
    static constexpr int threads = kListThreads;
    TensorList list;
    double* partial;

    DEMI_DEVICE void operator()() const {
        for (int64_t c = gpu::block_idx().x; c < list.count; c += gpu::grid_dim().x) {
            double sum = 0;
            for_chunk_quads(list, c, [&](const Entry& e, int64_t at, int count, bool whole) {
                if (e.type[0] == DType::f64) {
                    for (int64_t i = at; i < at + count; ++i) {
                        const double v = static_cast<const double*>(e.data[0])[i];
                        sum += v * v;
                    }
                    return;
                }
                const Quad q = load_quad(e.type[0], e.data[0], at, count, whole);
                DEMI_UNROLL
                for (int i = 0; i < 4; ++i) sum += static_cast<double>(q.v[i]) * static_cast<double>(q.v[i]);
            });
            sum = gpu::block_sum(sum, gpu::shared<double>());
            if (gpu::thread_idx().x == 0) partial[c] = sum;
        }
    }
};

DEMI_DEVICE double sum_of_partials(const double* partial, int64_t begin, int64_t end) {
    double sum = 0;
    for (int64_t i = begin + gpu::thread_idx().x; i < end; i += gpu::block_dim().x) sum += partial[i];
    return gpu::block_sum(sum, gpu::shared<double>());
}

struct SumKernel {
    static constexpr int threads = 1024;
    const double* partial;
    int64_t count;
    double* result;

    DEMI_DEVICE void operator()() const {
        const double sum = sum_of_partials(partial, 0, count);
        if (gpu::thread_idx().x == 0) result[0] = sum;
    }
};

struct FactorsKernel {
    static constexpr int threads = 1024;
    const double* partial;
    NormGroups p;
    double* result;

    DEMI_DEVICE void operator()() const {
        const double multiplier = p.live_multiplier != nullptr ? *p.live_multiplier : p.multiplier;
        bool good = true;
        for (int64_t g = 0; g < p.groups; ++g) {
            const double sum = sum_of_partials(partial, g == 0 ? 0 : p.ends[g - 1], p.ends[g]);
            const double norm = gpu::sqrt(sum) * multiplier, clip = p.limit / (norm + 1e-6);
            good = good && gpu::is_finite(norm);
            if (gpu::thread_idx().x != 0) continue;
            result[g] = norm;
            result[p.groups + g] = multiplier * (p.limit > 0 && clip < 1 ? clip : 1);
        }
        if (gpu::thread_idx().x != 0 || good) return;
        for (int64_t g = 0; g < p.groups; ++g) result[p.groups + g] = NAN;
    }
};

struct ScaleKernel {
    static constexpr int threads = kListThreads;
    TensorList list;
    double factor;

    DEMI_DEVICE void operator()() const {
        for_quads(list, [&](const Entry& e, int64_t at, int count, bool whole) {
            if (e.type[0] == DType::f64) {
                for (int64_t i = at; i < at + count; ++i) static_cast<double*>(e.data[0])[i] *= factor;
                return;
            }
            Quad q = load_quad(e.type[0], e.data[0], at, count, whole);
            DEMI_UNROLL
            for (int i = 0; i < 4; ++i) q.v[i] *= static_cast<float>(factor);
            store_quad(e.type[0], e.data[0], at, q, count, whole);
        });
    }
};

struct FiniteKernel {
    static constexpr int threads = kListThreads;
    TensorList list;
    uint32_t* bad;

    DEMI_DEVICE void operator()() const {
        bool good = true;
        for_quads(list, [&](const Entry& e, int64_t at, int count, bool whole) {
            if (e.type[0] == DType::f64) {
                for (int64_t i = at; i < at + count; ++i)
                    good = good && gpu::is_finite(static_cast<const double*>(e.data[0])[i]);
                return;
            }
            const Quad q = load_quad(e.type[0], e.data[0], at, count, whole);
            DEMI_UNROLL
            for (int i = 0; i < 4; ++i) good = good && gpu::is_finite(q.v[i]);
        });
        if (!good) gpu::atomic_max_u32(bad, 1);
    }
};

void sum_chunks(const TensorList& list, double* partial, gpu::Stream stream) {
    gpu::launch(SquaresKernel{list, partial}, gpu::blocks_for(list.count, 1), {kListThreads},
                32 * sizeof(double), stream);
}

}  // namespace

void sum_squares(const TensorList& list, double* partial, double* result, gpu::Stream stream) {
    sum_chunks(list, partial, stream);
    gpu::launch(SumKernel{partial, list.count, result}, {1}, {SumKernel::threads}, 32 * sizeof(double),
                stream);
}
void norms_and_factors(const TensorList& list, double* partial, const NormGroups& groups, double* result,
                       gpu::Stream stream) {
    sum_chunks(list, partial, stream);
    gpu::launch(FactorsKernel{partial, groups, result}, {1}, {FactorsKernel::threads}, 32 * sizeof(double),
                stream);
}
void scale_tensors(const TensorList& list, double factor, gpu::Stream stream) {
    launch_list(ScaleKernel{list, factor}, list, stream);
}
void find_not_finite(const TensorList& list, uint32_t* bad, gpu::Stream stream) {
    launch_list(FiniteKernel{list, bad}, list, stream);
}

}  // namespace demi::gpu_kernels
