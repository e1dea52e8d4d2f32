#include "ops/optimizer/optimizer_kernels.h"

#include "ops/kernel_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

// fn(chunk's number, entry, first element, count) for all chunks, in parallel.
template <class F> DEMI_INLINE void for_chunks(const TensorList& list, const F& fn) {
    parallel_for(list.tile_count, [&](int64_t tile) {
        for (int64_t i = list.tiles[tile]; i < list.tiles[tile + 1]; ++i) {
            const ListEntry& e = list.entries[list.chunks[i].entry];
            const int64_t begin = list.chunks[i].number * list.chunk_size, left = e.count - begin;
            fn(i, e, begin, left < list.chunk_size ? left : list.chunk_size);
        }
    });
}

template <class T> DEMI_INLINE T* data(const ListEntry& e, int which, int64_t begin) {
    return e.data[which] == nullptr ? nullptr : static_cast<T*>(e.data[which]) + begin;
}

// fn.operator()<A, B>() for the dtypes of data[0] and data[1].
template <class F> DEMI_INLINE void dispatch_pair(const ListEntry& e, const F& fn) {
    if (e.dtype[0] == DType::f64) return fn.template operator()<double, double>();
    dispatch_float(e.dtype[0], [&]<class A>() {
        if constexpr (sizeof(A) != 8) {
            if (e.dtype[1] == DType::f16) return fn.template operator()<A, Half>();
            if (e.dtype[1] == DType::bf16) return fn.template operator()<A, BFloat16>();
            fn.template operator()<A, float>();
        }
    });
}

// fn(entry, first element, count, gradient's factor) for the chunks whose factor is finite.
template <class Call, class F> DEMI_INLINE void for_steps(const Call& c, const F& fn) {
    for_chunks(c.list, [&](int64_t, const ListEntry& e, int64_t begin, int64_t count) {
        const double scale = c.groups[e.group].grad_scale * (e.factor != nullptr ? *e.factor : 1);
        if (__builtin_isfinite(scale)) fn(e, begin, count, scale);
    });
}

void adamw(const AdamwStep& c, Queue) {
    for_steps(c, [&](const ListEntry& e, int64_t at, int64_t count, double grad_scale) {
        dispatch_pair(e, [&]<class P, class G>() {
            typedef lane_t<P> C;
            P* p = data<P>(e, 0, at);
            const G* g = data<const G>(e, 1, at);
            C *exp_avg = data<C>(e, 2, at), *exp_avg_sq = data<C>(e, 3, at);
            const AdamwNumbers& numbers = c.groups[e.group];
            const auto number = [](double x) { return splat<P>(static_cast<C>(x)); };
            const auto decay = number(numbers.decay), beta1_rest = number(numbers.beta1_rest),
                       beta2 = number(numbers.beta2), beta2_rest = number(numbers.beta2_rest),
                       size = number(numbers.step_size), root = number(numbers.root_correction),
                       eps = number(numbers.eps), scale = number(grad_scale);
            for_lanes<P>(count, [&] DEMI_LANES {
                const auto d = get(g + i, n) * scale;
                const auto old = get(exp_avg + i, n);
                const auto m = fma(beta1_rest, d - old, old);
                const auto v = fma(beta2_rest * d, d, beta2 * get(exp_avg_sq + i, n));
                const auto change = size * (m / (sqrt(v) / root + eps));
                put(exp_avg + i, m, n);
                put(exp_avg_sq + i, v, n);
                put(p + i, decay * get(p + i, n) - change, n);
            });
        });
    });
}

void sgd(const SgdStep& c, Queue) {
    for_steps(c, [&](const ListEntry& e, int64_t at, int64_t count, double grad_scale) {
        dispatch_pair(e, [&]<class P, class G>() {
            typedef lane_t<P> C;
            P* p = data<P>(e, 0, at);
            const G* g = data<const G>(e, 1, at);
            C* buffer = data<C>(e, 2, at);
            const SgdNumbers& numbers = c.groups[e.group];
            const auto number = [](double x) { return splat<P>(static_cast<C>(x)); };
            const auto lr = number(numbers.lr), weight_decay = number(numbers.weight_decay),
                       momentum = number(numbers.momentum), scale = number(grad_scale);
            const bool nesterov = numbers.nesterov != 0;
            for_lanes<P>(count, [&] DEMI_LANES {
                const auto old = get(p + i, n);
                auto d = fma(weight_decay, old, get(g + i, n) * scale);
                if (buffer != nullptr) {
                    const auto b = fma(momentum, get(buffer + i, n), d);
                    put(buffer + i, b, n);
                    d = nesterov ? fma(momentum, b, d) : b;
                }
                put(p + i, fnma(lr, d, old), n);
            });
        });
    });
}

void ema(const EmaUpdate& c, Queue) {
    for_chunks(c.list, [&](int64_t, const ListEntry& e, int64_t at, int64_t count) {
        dispatch_pair(e, [&]<class D, class S>() {
            typedef lane_t<D> C;
            D* to = data<D>(e, 0, at);
            const S* from = data<const S>(e, 1, at);
            const auto keep = splat<D>(static_cast<C>(c.momentum)),
                       take = splat<D>(static_cast<C>(1 - c.momentum));
            for_lanes<D>(count,
                         [&] DEMI_LANES { put(to + i, keep * get(to + i, n) + take * get(from + i, n), n); });
        });
    });
}

// Sixteen sums on every instruction set: the same bits everywhere.
constexpr int kSums = 16, kBlock = 64;

DEMI_INLINE void add_squares(const float* x, double* sums) {
    for (int k = 0; k < kBlock; k += kSums)
        for (int j = 0; j < kSums; ++j) {
            const double v = static_cast<double>(x[k + j]);
            sums[j] += v * v;
        }
}

template <class T> double sum_squares(const T* x, int64_t count) {
    double sums[kSums] = {};
    alignas(64) float block[kBlock];
    int64_t at = 0;
    for (; at + kBlock <= count; at += kBlock) {
        for_lanes<T>(kBlock, [&] DEMI_LANES { put(block + i, get(x + at + i, n), n); });
        add_squares(block, sums);
    }
    if (at < count) {
        for_lanes<T>(kBlock, [&] DEMI_LANES { put(block + i, zero(), n); });
        for_lanes<T>(count - at, [&] DEMI_LANES { put(block + i, get(x + at + i, n), n); });
        add_squares(block, sums);
    }
    double total = 0;
    for (int j = 0; j < kSums; ++j) total += sums[j];
    return total;
}
// Of scale * x.
double sum_squares(const double* x, int64_t count, double scale = 1) {
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += x[i] * scale * (x[i] * scale);
    return sum;
}

// The square root of what the chunks [begin, end) hold, given the sums of their squares. Where squares of f64 leave its
// range, numbers of other types are too small to count, or 0.
double norm_of_chunks(const TensorList& list, const double* squares, int64_t begin, int64_t end) {
    double sum = 0;
    bool f64 = false;
    for (int64_t i = begin; i < end; ++i) {
        sum += squares[i];
        f64 = f64 || list.entries[list.chunks[i].entry].dtype[0] == DType::f64;
    }
    if (!f64 || (__builtin_isfinite(sum) && sum >= 1e-290)) return __builtin_sqrt(sum);
    const double scale = sum > 1 ? 0x1p-600 : 0x1p600;
    sum = 0;
    for (int64_t i = begin; i < end; ++i) {
        const ListEntry& e = list.entries[list.chunks[i].entry];
        const int64_t at = list.chunks[i].number * list.chunk_size, left = e.count - at;
        if (e.dtype[0] == DType::f64)
            sum += sum_squares(data<const double>(e, 0, at), left < list.chunk_size ? left : list.chunk_size,
                               scale);
    }
    return __builtin_sqrt(sum) / scale;
}

void grad_norms(const GradNorms& c, Queue queue) {
    const Scratch scratch(static_cast<size_t>(c.list.chunk_count) * sizeof(double), queue);
    double* squares = scratch.as<double>();
    for_chunks(c.list, [&](int64_t number, const ListEntry& e, int64_t at, int64_t count) {
        dispatch_float(e.dtype[0],
                       [&]<class T>() { squares[number] = sum_squares(data<const T>(e, 0, at), count); });
    });
    bool good = true;
    double* factors = c.result + c.groups;
    for (int64_t g = 0; g < c.groups; ++g) {
        const double norm =
            norm_of_chunks(c.list, squares, g == 0 ? 0 : c.ends[g - 1], c.ends[g]) * c.multiplier;
        const double clip = c.limit / (norm + 1e-6);
        c.result[g] = norm;
        factors[g] = c.multiplier * (c.limit > 0 && clip < 1 ? clip : 1);
        good = good && __builtin_isfinite(norm);
    }
    for (int64_t g = 0; g < c.groups && !good; ++g) factors[g] = __builtin_nan("");
}

void scale(const ScaleTensors& c, Queue) {
    for_chunks(c.list, [&](int64_t, const ListEntry& e, int64_t at, int64_t count) {
        dispatch_float(e.dtype[0], [&]<class T>() {
            T* x = data<T>(e, 0, at);
            const auto factor = splat<T>(static_cast<lane_t<T>>(c.factor));
            for_lanes<T>(count, [&] DEMI_LANES { put(x + i, get(x + i, n) * factor, n); });
        });
    });
}

// x * 0 is 0, but NaN for infinity and NaN.
void find_not_finite(const FindNotFinite& c, Queue) {
    for_chunks(c.list, [&](int64_t, const ListEntry& e, int64_t at, int64_t count) {
        if (__atomic_load_n(c.bad, __ATOMIC_RELAXED) != 0) return;
        dispatch_float(e.dtype[0], [&]<class T>() {
            const T* x = data<const T>(e, 0, at);
            const bool good =
                sum_lanes<T>(count, [&] DEMI_LANES { return get(x + i, n) * splat<T>(0); }) == 0;
            if (!good) __atomic_store_n(c.bad, 1u, __ATOMIC_RELAXED);
        });
    });
}

}  // namespace

const OptimizerKernels optimizer_kernels{adamw, sgd, ema, grad_norms, scale, find_not_finite};

}  // namespace demi::DEMI_BACKEND
