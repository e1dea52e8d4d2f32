#include "ops/optimizer/optimizer_kernels.h"

#include "ops/boundary/boundary_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

// ---- the elements of a list, four at a time of whatever type it says
// whole: four elements are there and lie at a multiple of their size; zeros behind `count` elements.
DEMI_DEVICE void load_quad(float (&x)[4], DType type, const void* p, int64_t at, int count, bool whole) {
    if (whole) return load_some(x, p, at, type);
    DEMI_UNROLL
    for (int i = 0; i < 4; ++i) x[i] = i < count ? load_one(p, at + i, type) : 0;
}
DEMI_DEVICE void store_quad(DType type, void* p, int64_t at, const float (&x)[4], int count, bool whole) {
    if (whole) return store_some(p, at, type, x);
    DEMI_UNROLL
    for (int i = 0; i < 4; ++i)
        if (i < count) store_one(p, at + i, type, x[i]);
}

constexpr int kListThreads = 256;

struct Entry : ListEntry {
    double scale;  // the factor's value, or 1
    DEMI_DEVICE double* doubles(int which) const { return static_cast<double*>(data[which]); }
};
template <class C, class Numbers> DEMI_DEVICE C scale_of(const Numbers& n, const Entry& e) {
    if constexpr (sizeof(C) == sizeof(double)) return n.grad_scale * e.scale;
    return static_cast<C>(static_cast<double>(static_cast<float>(n.grad_scale)) * e.scale);
}

// fn(entry, x) for this thread's elements of one chunk: x[k] is that of data[k], in double where the entry is f64, else in
// float, and 0 in a quad behind its `count` elements. What kWritten has a bit for is stored afterwards; kOptional: data[2] may
// be null. Nothing for an entry whose factor is not finite.
template <int kTensors, unsigned kWritten, bool kOptional = false, class F>
DEMI_DEVICE void for_chunk(const TensorList& list, int64_t number, F&& fn) {
    const ListChunk chunk = list.chunks[number];
    Entry e;
    static_cast<ListEntry&>(e) = list.entries[chunk.entry];
    e.scale = e.factor != nullptr ? *e.factor : 1;
    if (!gpu::is_finite(e.scale)) return;
    const int64_t begin = chunk.number * list.chunk_size;
    const int64_t end = begin + list.chunk_size < e.count ? begin + list.chunk_size : e.count;
    const auto has = [&](int k) { return !kOptional || k != 2 || e.data[2] != nullptr; };
    const auto writes = [&](int k) { return (kWritten >> k & 1u) != 0 && has(k); };
    for (int64_t at = begin + 4 * static_cast<int64_t>(gpu::thread_idx().x); at < end;
         at += 4 * kListThreads) {
        const int count = end - at < 4 ? static_cast<int>(end - at) : 4;
        if (e.dtype[0] == DType::f64) {
            for (int64_t i = at; i < at + count; ++i) {
                double x[kTensors];
                for (int k = 0; k < kTensors; ++k) x[k] = has(k) ? e.doubles(k)[i] : 0;
                fn(e, x);
                for (int k = 0; k < kTensors; ++k)
                    if (writes(k)) e.doubles(k)[i] = x[k];
            }
            continue;
        }
        const bool whole = e.aligned && end - at >= 4;
        const auto dtype = [&](int k) { return k < 2 ? e.dtype[k] : DType::f32; };
        float q[kTensors][4] = {};
        DEMI_UNROLL
        for (int k = 0; k < kTensors; ++k)
            if (has(k)) load_quad(q[k], dtype(k), e.data[k], at, count, whole);
        DEMI_UNROLL
        for (int i = 0; i < 4; ++i) {
            float x[kTensors];
            DEMI_UNROLL
            for (int k = 0; k < kTensors; ++k) x[k] = q[k][i];
            fn(e, x);
            DEMI_UNROLL
            for (int k = 0; k < kTensors; ++k) q[k][i] = x[k];
        }
        DEMI_UNROLL
        for (int k = 0; k < kTensors; ++k)
            if (writes(k)) store_quad(dtype(k), e.data[k], at, q[k], count, whole);
    }
}
// The same for all of this block's chunks.
template <int kTensors, unsigned kWritten, bool kOptional = false, class F>
DEMI_DEVICE void for_elements(const TensorList& list, F&& fn) {
    for (int64_t c = gpu::block_idx().x; c < list.chunk_count; c += gpu::grid_dim().x)
        for_chunk<kTensors, kWritten, kOptional>(list, c, fn);
}

// body(entry, x), as above.
template <class Body, int kTensors, unsigned kWritten, bool kOptional> struct EachElement {
    static constexpr int threads = kListThreads;
    TensorList list;
    Body body;
    DEMI_DEVICE void operator()() const { for_elements<kTensors, kWritten, kOptional>(list, body); }
};
template <class Kernel> void launch_list(const Kernel& kernel, Queue queue) {
    gpu::launch(kernel, gpu::blocks_for(kernel.list.chunk_count, 1), {kListThreads}, 0, queue.stream);
}
template <int kTensors, unsigned kWritten, bool kOptional = false, class Body>
void launch_elements(const Body& body, const TensorList& list, Queue queue) {
    launch_list(EachElement<Body, kTensors, kWritten, kOptional>{list, body}, queue);
}

// ---- steps
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
struct Adamw {
    Groups<AdamwStep, AdamwNumbers> groups;

    template <class C> DEMI_DEVICE void operator()(const Entry& e, C (&x)[4]) const {
        const AdamwNumbers& n = groups.of(e);
        const C d = x[1] * scale_of<C>(n, e);
        x[2] = gpu::fma(static_cast<C>(n.beta1_rest), d - x[2], x[2]);
        x[3] = gpu::fma(static_cast<C>(n.beta2_rest) * d, d, static_cast<C>(n.beta2) * x[3]);
        const C change =
            static_cast<C>(n.step_size) *
            (x[2] / (gpu::sqrt(x[3]) / static_cast<C>(n.root_correction) + static_cast<C>(n.eps)));
        x[0] = static_cast<C>(n.decay) * x[0] - change;
    }
};

// x: parameter, gradient, momentum buffer (where there is one).
struct Sgd {
    Groups<SgdStep, SgdNumbers> groups;

    template <class C> DEMI_DEVICE void operator()(const Entry& e, C (&x)[3]) const {
        const SgdNumbers& n = groups.of(e);
        C d = gpu::fma(static_cast<C>(n.weight_decay), x[0], x[1] * scale_of<C>(n, e));
        if (e.data[2] != nullptr) {
            const C momentum = static_cast<C>(n.momentum);
            x[2] = gpu::fma(momentum, x[2], d);
            d = n.nesterov != 0 ? gpu::fma(momentum, x[2], d) : x[2];
        }
        x[0] = gpu::fma(-static_cast<C>(n.lr), d, x[0]);
    }
};

struct Ema {
    double momentum;

    template <class C> DEMI_DEVICE void operator()(const Entry&, C (&x)[2]) const {
        x[0] = static_cast<C>(momentum) * x[0] + static_cast<C>(1 - momentum) * x[1];
    }
};

struct Scale {
    double factor;

    template <class C> DEMI_DEVICE void operator()(const Entry&, C (&x)[1]) const {
        x[0] *= static_cast<C>(factor);
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
    launch_elements<4, 0b1101>(Adamw{Groups<AdamwStep, AdamwNumbers>(c)}, c.list, queue);
}
void sgd(const SgdStep& c, Queue queue) {
    launch_elements<3, 0b101, true>(Sgd{Groups<SgdStep, SgdNumbers>(c)}, c.list, queue);
}
void ema(const EmaUpdate& c, Queue queue) { launch_elements<2, 0b01>(Ema{c.momentum}, c.list, queue); }
void scale(const ScaleTensors& c, Queue queue) { launch_elements<1, 0b1>(Scale{c.factor}, c.list, queue); }
void grad_norms(const GradNorms& c, Queue queue) {
    const Scratch scratch(static_cast<size_t>(c.list.chunk_count) * sizeof(double), queue);
    if (c.list.chunk_count > 0)
        gpu::launch(SquaresKernel{c.list, scratch.as<double>()}, gpu::blocks_for(c.list.chunk_count, 1),
                    {kListThreads}, 32 * sizeof(double), queue.stream);
    gpu::launch(NormsKernel{c, scratch.as<double>()}, {1}, {NormsKernel::threads}, 32 * sizeof(double),
                queue.stream);
}
void find_not_finite(const FindNotFinite& c, Queue queue) { launch_list(FiniteKernel{c.list, c.bad}, queue); }

}  // namespace

const OptimizerKernels optimizer_kernels{adamw, sgd, ema, grad_norms, scale, find_not_finite};

}  // namespace demi::DEMI_BACKEND
