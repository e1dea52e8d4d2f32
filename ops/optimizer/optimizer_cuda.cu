#include "ops/optimizer/optimizer_kernels.h"

#include "ops/optimizer/quads.h"

namespace demi::DEMI_BACKEND {
namespace {

// Kernels take the groups' numbers among their parameters; live ones lie in device memory.
template <class Call, class Numbers> struct Groups {
    const Numbers* live;
    Numbers numbers[kMaxListGroups];

    explicit Groups(const Call& c) : live(c.live), numbers{} {
        for (int g = 0; g < c.group_count; ++g) numbers[g] = c.groups[g];
    }
    DEMI_DEVICE const Numbers& of(const Entry& e) const {
        return (live != nullptr ? live : numbers)[e.group];
    }
};

template <class C>
DEMI_DEVICE void adamw_element(const AdamwNumbers& n, C scale, C grad, C& param, C& exp_avg, C& exp_avg_sq) {
    const C d = grad * scale;
    exp_avg = gpu::fma(static_cast<C>(n.beta1_rest), d - exp_avg, exp_avg);
    exp_avg_sq = gpu::fma(static_cast<C>(n.beta2_rest) * d, d, static_cast<C>(n.beta2) * exp_avg_sq);
    const C change =
        static_cast<C>(n.step_size) *
        (exp_avg / (gpu::sqrt(exp_avg_sq) / static_cast<C>(n.root_correction) + static_cast<C>(n.eps)));
    param = static_cast<C>(n.decay) * param - change;
}

struct AdamwKernel {
    static constexpr int threads = kListThreads;
    TensorList list;
    Groups<AdamwStep, AdamwNumbers> groups;

    DEMI_DEVICE void operator()() const {
        for_quads(list, [&](const Entry& e, int64_t at, int count, bool whole) {
            const AdamwNumbers& n = groups.of(e);
            if (e.dtype[0] == DType::f64) {
                for (int64_t i = at; i < at + count; ++i)
                    adamw_element(n, n.grad_scale * e.scale, e.doubles(1)[i], e.doubles(0)[i],
                                  e.doubles(2)[i], e.doubles(3)[i]);
                return;
            }
            const float scale = scale_of(n, e);
            Quad param = load_quad(e.dtype[0], e.data[0], at, count, whole);
            const Quad grad = load_quad(e.dtype[1], e.data[1], at, count, whole);
            Quad m = load_quad(DType::f32, e.data[2], at, count, whole);
            Quad v = load_quad(DType::f32, e.data[3], at, count, whole);
            DEMI_UNROLL
            for (int i = 0; i < 4; ++i) adamw_element(n, scale, grad.v[i], param.v[i], m.v[i], v.v[i]);
            store_quad(DType::f32, e.data[2], at, m, count, whole);
            store_quad(DType::f32, e.data[3], at, v, count, whole);
            store_quad(e.dtype[0], e.data[0], at, param, count, whole);
        });
    }
};

// buffer: null without momentum.
template <class C> DEMI_DEVICE void sgd_element(const SgdNumbers& n, C scale, C grad, C& param, C* buffer) {
    C d = gpu::fma(static_cast<C>(n.weight_decay), param, grad * scale);
    if (buffer != nullptr) {
        const C momentum = static_cast<C>(n.momentum);
        *buffer = gpu::fma(momentum, *buffer, d);
        d = n.nesterov != 0 ? gpu::fma(momentum, *buffer, d) : *buffer;
    }
    param = gpu::fma(-static_cast<C>(n.lr), d, param);
}

struct SgdKernel {
    static constexpr int threads = kListThreads;
    TensorList list;
    Groups<SgdStep, SgdNumbers> groups;

    DEMI_DEVICE void operator()() const {
        for_quads(list, [&](const Entry& e, int64_t at, int count, bool whole) {
            const SgdNumbers& n = groups.of(e);
            const bool kept = e.data[2] != nullptr;
            if (e.dtype[0] == DType::f64) {
                for (int64_t i = at; i < at + count; ++i)
                    sgd_element(n, n.grad_scale * e.scale, e.doubles(1)[i], e.doubles(0)[i],
                                kept ? e.doubles(2) + i : nullptr);
                return;
            }
            const float scale = scale_of(n, e);
            Quad param = load_quad(e.dtype[0], e.data[0], at, count, whole), buffer{{0, 0, 0, 0}};
            const Quad grad = load_quad(e.dtype[1], e.data[1], at, count, whole);
            if (kept) buffer = load_quad(DType::f32, e.data[2], at, count, whole);
            DEMI_UNROLL
            for (int i = 0; i < 4; ++i)
                sgd_element(n, scale, grad.v[i], param.v[i], kept ? &buffer.v[i] : nullptr);
            if (kept) store_quad(DType::f32, e.data[2], at, buffer, count, whole);
            store_quad(e.dtype[0], e.data[0], at, param, count, whole);
        });
    }
};

struct EmaKernel {
    static constexpr int threads = kListThreads;
    TensorList list;
    double momentum;

    DEMI_DEVICE void operator()() const {
        const float keep = static_cast<float>(momentum), take = static_cast<float>(1 - momentum);
        for_quads(list, [&](const Entry& e, int64_t at, int count, bool whole) {
            if (e.dtype[0] == DType::f64) {
                for (int64_t i = at; i < at + count; ++i)
                    e.doubles(0)[i] = momentum * e.doubles(0)[i] + (1 - momentum) * e.doubles(1)[i];
                return;
            }
            Quad to = load_quad(e.dtype[0], e.data[0], at, count, whole);
            const Quad from = load_quad(e.dtype[1], e.data[1], at, count, whole);
            DEMI_UNROLL
            for (int i = 0; i < 4; ++i) to.v[i] = keep * to.v[i] + take * from.v[i];
            store_quad(e.dtype[0], e.data[0], at, to, count, whole);
        });
    }
};

// Squares that f64 holds to all digits; where it does not, numbers of f64 are scaled before.
DEMI_DEVICE bool fits(double squares) { return squares >= 1e-290 && gpu::is_finite(squares); }
DEMI_DEVICE double scale_for(double squares) { return squares > 1 ? 0x1p-600 : 0x1p600; }

// Each block has its own chunk. A partial is the sum of its squares, or where that does not fit the norm, negative.
struct SquaresKernel {
    static constexpr int threads = kListThreads;
    TensorList list;
    double* partial;

    DEMI_DEVICE double sum(int64_t c, double scale) const {
        double sum = 0;
        for_chunk_quads(list, c, [&](const Entry& e, int64_t at, int count, bool whole) {
            if (e.dtype[0] == DType::f64) {
                for (int64_t i = at; i < at + count; ++i) {
                    const double v = e.doubles(0)[i] * scale;
                    sum += v * v;
                }
                return;
            }
            const Quad q = load_quad(e.dtype[0], e.data[0], at, count, whole);
            DEMI_UNROLL
            for (int i = 0; i < 4; ++i) {
                const double v = static_cast<double>(q.v[i]) * scale;
                sum += v * v;
            }
        });
        return gpu::block_sum(sum, gpu::shared<double>());
    }
    DEMI_DEVICE void operator()() const {
        for (int64_t c = gpu::block_idx().x; c < list.chunk_count; c += gpu::grid_dim().x) {
            double own = sum(c, 1);
            if (list.entries[list.chunks[c].entry].dtype[0] == DType::f64 && !fits(own)) {
                const double scale = scale_for(own);
                own = -gpu::sqrt(sum(c, scale)) / scale;
            }
            if (gpu::thread_idx().x == 0) partial[c] = own;
        }
    }
};

struct NormsKernel {
    static constexpr int threads = 1024;
    GradNorms c;
    const double* partial;

    DEMI_DEVICE double norm_of_group(int64_t g) const {
        const int64_t begin = (g == 0 ? 0 : c.ends[g - 1]) + gpu::thread_idx().x, end = c.ends[g];
        const int64_t step = gpu::block_dim().x;
        double sum = 0;
        for (int64_t i = begin; i < end; i += step)
            sum += partial[i] >= 0 ? partial[i] : partial[i] * partial[i];
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
    DEMI_DEVICE void operator()() const {
        const double multiplier = c.live_multiplier != nullptr ? *c.live_multiplier : c.multiplier;
        bool good = true;
        for (int64_t g = 0; g < c.groups; ++g) {
            const double norm = norm_of_group(g) * multiplier, clip = c.limit / (norm + 1e-6);
            good = good && gpu::is_finite(norm);
            if (gpu::thread_idx().x != 0) continue;
            c.result[g] = norm;
            c.result[c.groups + g] = multiplier * (c.limit > 0 && clip < 1 ? clip : 1);
        }
        if (gpu::thread_idx().x != 0 || good) return;
        for (int64_t g = 0; g < c.groups; ++g) c.result[c.groups + g] = NAN;
    }
};

struct ScaleKernel {
    static constexpr int threads = kListThreads;
    TensorList list;
    double factor;

    DEMI_DEVICE void operator()() const {
        for_quads(list, [&](const Entry& e, int64_t at, int count, bool whole) {
            if (e.dtype[0] == DType::f64) {
                for (int64_t i = at; i < at + count; ++i) e.doubles(0)[i] *= factor;
                return;
            }
            Quad q = load_quad(e.dtype[0], e.data[0], at, count, whole);
            DEMI_UNROLL
            for (int i = 0; i < 4; ++i) q.v[i] *= static_cast<float>(factor);
            store_quad(e.dtype[0], e.data[0], at, q, count, whole);
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
            if (e.dtype[0] == DType::f64) {
                for (int64_t i = at; i < at + count; ++i) good = good && gpu::is_finite(e.doubles(0)[i]);
                return;
            }
            const Quad q = load_quad(e.dtype[0], e.data[0], at, count, whole);
            DEMI_UNROLL
            for (int i = 0; i < 4; ++i) good = good && gpu::is_finite(q.v[i]);
        });
        if (!good) gpu::atomic_max_u32(bad, 1);
    }
};

void adamw(const AdamwStep& c, Queue queue) {
    launch_list(AdamwKernel{c.list, Groups<AdamwStep, AdamwNumbers>(c)}, c.list, queue);
}
void sgd(const SgdStep& c, Queue queue) {
    launch_list(SgdKernel{c.list, Groups<SgdStep, SgdNumbers>(c)}, c.list, queue);
}
void ema(const EmaUpdate& c, Queue queue) { launch_list(EmaKernel{c.list, c.momentum}, c.list, queue); }
void grad_norms(const GradNorms& c, Queue queue) {
    const Scratch scratch(static_cast<size_t>(c.list.chunk_count) * sizeof(double), queue);
    if (c.list.chunk_count > 0)
        gpu::launch(SquaresKernel{c.list, scratch.as<double>()}, gpu::blocks_for(c.list.chunk_count, 1),
                    {kListThreads}, 32 * sizeof(double), queue.stream);
    gpu::launch(NormsKernel{c, scratch.as<double>()}, {1}, {NormsKernel::threads}, 32 * sizeof(double),
                queue.stream);
}
void scale(const ScaleTensors& c, Queue queue) { launch_list(ScaleKernel{c.list, c.factor}, c.list, queue); }
void find_not_finite(const FindNotFinite& c, Queue queue) {
    launch_list(FiniteKernel{c.list, c.bad}, c.list, queue);
}

}  // namespace

const OptimizerKernels optimizer_kernels{adamw, sgd, ema, grad_norms, scale, find_not_finite};

}  // namespace demi::DEMI_BACKEND
