#include "ops/grad_norm/grad_norm_cuda.h"

#include "ops/common/tensor_list.cuh"

namespace demi::gpu_kernels {
namespace {

// Squares that f64 holds to all digits; where it does not, numbers of f64 are scaled before.
DEMI_DEVICE bool fits(double squares) { return squares >= 1e-290 && gpu::is_finite(squares); }
DEMI_DEVICE double scale_for(double squares) { return squares > 1 ? 0x1p-600 : 0x1p600; }

// Each block has its own chunk. A partial is the sum of its squares, or where that does not fit the norm,
// negative.
struct SquaresKernel {
    static constexpr int threads = kListThreads;
    TensorList list;
    double* partial;

    DEMI_DEVICE double sum(int64_t c, double scale) const {
        double sum = 0;
        for_chunk_quads(list, c, [&](const Entry& e, int64_t at, int count, bool whole) {
            if (e.type[0] == gpu::Type::f64) {
                for (int64_t i = at; i < at + count; ++i) {
                    const double v = static_cast<const double*>(e.data[0])[i] * scale;
                    sum += v * v;
                }
                return;
            }
            const Quad q = load_quad(e.type[0], e.data[0], at, count, whole);
            DEMI_UNROLL
            for (int i = 0; i < 4; ++i) {
                const double v = static_cast<double>(q.v[i]) * scale;
                sum += v * v;
            }
        });
        return gpu::block_sum(sum, gpu::shared<double>());
    }
    DEMI_DEVICE void operator()() const {
        for (int64_t c = gpu::block_idx().x; c < list.count; c += gpu::grid_dim().x) {
            double own = sum(c, 1);
            if (list.entries[list.chunks[c].entry].type[0] == gpu::Type::f64 && !fits(own)) {
                const double scale = scale_for(own);
                own = -gpu::sqrt(sum(c, scale)) / scale;
            }
            if (gpu::thread_idx().x == 0) partial[c] = own;
        }
    }
};

DEMI_DEVICE double norm_of_partials(const double* partial, int64_t begin, int64_t end) {
    double sum = 0;
    const int64_t step = gpu::block_dim().x;
    begin += gpu::thread_idx().x;
    for (int64_t i = begin; i < end; i += step) sum += partial[i] >= 0 ? partial[i] : partial[i] * partial[i];
    sum = gpu::block_sum(sum, gpu::shared<double>());
    if (fits(sum)) return gpu::sqrt(sum);
    const double scale = scale_for(sum);
    sum = 0;
    for (int64_t i = begin; i < end; i += step) {
        const double norm = (partial[i] >= 0 ? gpu::sqrt(partial[i]) : -partial[i]) * scale;
        sum += norm * norm;
    }
    return gpu::sqrt(gpu::block_sum(sum, gpu::shared<double>())) / scale;
}

struct NormKernel {
    static constexpr int threads = 1024;
    const double* partial;
    int64_t count;
    double* result;

    DEMI_DEVICE void operator()() const {
        const double norm = norm_of_partials(partial, 0, count);
        if (gpu::thread_idx().x == 0) result[0] = norm;
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
            const double norm = norm_of_partials(partial, g == 0 ? 0 : p.ends[g - 1], p.ends[g]) * multiplier;
            const double clip = p.limit / (norm + 1e-6);
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
            if (e.type[0] == gpu::Type::f64) {
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
            if (e.type[0] == gpu::Type::f64) {
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

void norm(const TensorList& list, double* partial, double* result, gpu::Stream stream) {
    sum_chunks(list, partial, stream);
    gpu::launch(NormKernel{partial, list.count, result}, {1}, {NormKernel::threads}, 32 * sizeof(double),
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
