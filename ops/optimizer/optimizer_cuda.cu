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

// x: parameter, gradient, exp_avg, exp_avg_sq.
template <class C> DEMI_DEVICE void adamw_element(const AdamwNumbers& n, C scale, C (&x)[4]) {
    const C d = x[1] * scale;
    x[2] = gpu::fma(static_cast<C>(n.beta1_rest), d - x[2], x[2]);
    x[3] = gpu::fma(static_cast<C>(n.beta2_rest) * d, d, static_cast<C>(n.beta2) * x[3]);
    const C change = static_cast<C>(n.step_size) *
                     (x[2] / (gpu::sqrt(x[3]) / static_cast<C>(n.root_correction) + static_cast<C>(n.eps)));
    x[0] = static_cast<C>(n.decay) * x[0] - change;
}

struct AdamwKernel {
    static constexpr int threads = kListThreads;
    TensorList list;
    Groups<AdamwStep, AdamwNumbers> groups;

    DEMI_DEVICE void operator()() const {
        for_elements<4, 0b1101>(list, [&](const Entry& e, auto& x) {
            const AdamwNumbers& n = groups.of(e);
            adamw_element(n, scale_of<Element<decltype(x)>>(n, e), x);
        });
    }
};

// x: parameter, gradient, momentum buffer (where there is one).
template <class C> DEMI_DEVICE void sgd_element(const SgdNumbers& n, C scale, bool buffered, C (&x)[3]) {
    C d = gpu::fma(static_cast<C>(n.weight_decay), x[0], x[1] * scale);
    if (buffered) {
        const C momentum = static_cast<C>(n.momentum);
        x[2] = gpu::fma(momentum, x[2], d);
        d = n.nesterov != 0 ? gpu::fma(momentum, x[2], d) : x[2];
    }
    x[0] = gpu::fma(-static_cast<C>(n.lr), d, x[0]);
}

struct SgdKernel {
    static constexpr int threads = kListThreads;
    TensorList list;
    Groups<SgdStep, SgdNumbers> groups;

    DEMI_DEVICE void operator()() const {
        for_elements<3, 0b101, true>(list, [&](const Entry& e, auto& x) {
            const SgdNumbers& n = groups.of(e);
            sgd_element(n, scale_of<Element<decltype(x)>>(n, e), e.data[2] != nullptr, x);
        });
    }
};

struct EmaKernel {
    static constexpr int threads = kListThreads;
    TensorList list;
    double momentum;

    DEMI_DEVICE void operator()() const {
        for_elements<2, 0b01>(list, [&](const Entry&, auto& x) {
            typedef Element<decltype(x)> C;
            x[0] = static_cast<C>(momentum) * x[0] + static_cast<C>(1 - momentum) * x[1];
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
        for_chunk<1, 0>(list, c, [&](const Entry&, const auto& x) {
            const double v = static_cast<double>(x[0]) * scale;
            sum += v * v;
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
        for_elements<1, 0b1>(
            list, [&](const Entry&, auto& x) { x[0] *= static_cast<Element<decltype(x)>>(factor); });
    }
};

struct FiniteKernel {
    static constexpr int threads = kListThreads;
    TensorList list;
    uint32_t* bad;

    DEMI_DEVICE void operator()() const {
        bool good = true;
        for_elements<1, 0>(list, [&](const Entry&, const auto& x) { good &= gpu::is_finite(x[0]); });
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
