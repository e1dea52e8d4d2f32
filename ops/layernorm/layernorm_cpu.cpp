#include "ops/layernorm/row_stats_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

template <bool kPlain, class T, class Y, class C>
DEMI_INLINE void write_row(const T* x, const C* weight, const C* bias, const Stats<C>& s, Y* y,
                           int64_t width) {
    const auto m = splat<T>(s.mean), c = splat<T>(s.shift), r = splat<T>(s.rstd), f = splat<T>(s.factor);
    for_lanes<T>(width, [&] DEMI_LANES {
        const auto v = get(x + i, n);
        const auto normal = (((kPlain ? v : v * f) - m) - c) * r;
        put(y + i, fma(normal, get(weight + i, n), get(bias + i, n)), n);
    });
}
template <class T, class Y, class C>
DEMI_RARE void write_scaled_row(const T* x, const C* weight, const C* bias, const Stats<C>& s, Y* y,
                                int64_t width) {
    write_row<false>(x, weight, bias, s, y, width);
}

// `count` rows from r on, one or two.
template <class T, class Y, class C>
DEMI_INLINE void forward_rows(const LayernormForward& c, const C* weight, const C* bias, int64_t r,
                              int count) {
    const T* x[2];
    Stats<C> s[2];
#pragma GCC unroll 1
    for (int k = 0; k < count; ++k) {
        const T *in = row<T>(c.x, r + k, c.width), *residual = row<T>(c.residual, r + k, c.width);
        T* sum = row<T>(c.sum, r + k, c.width);
        x[k] = residual == nullptr ? in : sum;
        if (residual != nullptr)
            for_lanes<T>(c.width, [&] DEMI_LANES { put(sum + i, get(in + i, n) + get(residual + i, n), n); });
    }
    (count == 2 ? stats_of<2, T, C> : stats_of<1, T, C>)(x, c.width, static_cast<C>(c.eps), s);
#pragma GCC unroll 1
    for (int k = 0; k < count; ++k) {
        Y* y = row<Y>(c.y, r + k, c.width);
        if (s[k].factor == 1) [[likely]]
            write_row<true>(x[k], weight, bias, s[k], y, c.width);
        else
            write_scaled_row(x[k], weight, bias, s[k], y, c.width);
        elements<Stats<C>>(c.stats)[r + k] = s[k];
    }
}

// One row of factor 1. The sums of g and g * n come first; dweight and dbias take their share while the row
// is in registers. False where a result is not finite.
template <bool kAffine, class T, class Y, class C>
DEMI_INLINE bool backward_row(const T* x, const Y* dy, const T* dsum, const C* weight, const Stats<C>& s,
                              T* dx, C* dweight, C* dbias, int64_t width) {
    const auto m = splat<T>(s.mean), c = splat<T>(s.shift), r = splat<T>(s.rstd);
    C sums[2];
    sums_of_lanes<T>(width, sums, [&] DEMI_SUMS {
        const auto d = get(dy + i, n);
        const auto normal = ((get(x + i, n) - m) - c) * r;  // dy is 0 in unused lanes
        if constexpr (kAffine) {
            put(dweight + i, fma(d, normal, get(dweight + i, n)), n);
            put(dbias + i, get(dbias + i, n) + d, n);
        }
        const auto g = d * get(weight + i, n);
        sum[0] = sum[0] + g;
        sum[1] = fma(g, normal, sum[1]);
    });
    if (kAffine && dx == nullptr) return true;
    const auto a = splat<T>(mean(sums[0], width)), b = splat<T>(mean(sums[1], width));
    AllFinite<T> finite;
    for_lanes<T>(width, [&] DEMI_LANES {
        const auto normal = ((get(x + i, n) - m) - c) * r;
        const auto g = get(dy + i, n) * get(weight + i, n);
        auto out = r * fnma(normal, b, g - a);
        if (dsum != nullptr) out = out + get(dsum + i, n);
        finite.add(out);
        put(dx + i, out, n);
    });
    return finite.good();
}

// Any row, with dy times 2^h; the mean of g is corrected, so that a constant row turns a constant g into 0.
template <class T, class Y, class C>
DEMI_RARE void rare_row(const T* x, const Y* dy, const T* dsum, const C* weight, const Stats<C>& s, T* dx,
                        C* dweight, C* dbias, int64_t width) {
    const auto m = splat<T>(s.mean), c = splat<T>(s.shift), r = splat<T>(s.rstd), f = splat<T>(s.factor);
    const auto normal = [&] DEMI_LANES { return ((get(x + i, n) * f - m) - c) * r; };
    if (dweight != nullptr)
        for_lanes<T>(width, [&] DEMI_LANES {
            const auto d = get(dy + i, n);
            put(dweight + i, fma(d, normal(i, n), get(dweight + i, n)), n);
            put(dbias + i, get(dbias + i, n) + d, n);
        });
    if (dx == nullptr) return;
    const int h = balance(max_abs(dy, width), -10), e = s.factor == 0 ? 0 : exponent_of(s.factor);
    const auto down = splat<T>(power_of_two<C>(h)), back = splat<T>(static_cast<C>(e - h));
    const auto grad = [&] DEMI_LANES { return get(dy + i, n) * down * get(weight + i, n); };
    auto a = splat<T>(mean(sum_lanes<T>(width, grad), width));
    a = a + splat<T>(mean(
                sum_lanes<T>(width, [&] DEMI_LANES { return only(n, grad(i, n) - a, splat<T>(0)); }), width));
    const auto b =
        splat<T>(mean(sum_lanes<T>(width, [&] DEMI_LANES { return grad(i, n) * normal(i, n); }), width));
    for_lanes<T>(width, [&] DEMI_LANES {
        auto out = scale_by_exponent(r * fnma(normal(i, n), b, grad(i, n) - a), back);
        if (dsum != nullptr) out = out + get(dsum + i, n);
        put(dx + i, out, n);
    });
}

// Adds to dweight and dbias where they are wanted (kAffine).
template <bool kAffine, class T, class Y, class C>
DEMI_INLINE void backward_rows(const LayernormBackward& call, const C* weight, int64_t first, int64_t count,
                               C* dweight, C* dbias) {
    const LayernormBackward c = call;
    for (int64_t r = first; r < first + count; ++r) {
        const T *x = row<T>(c.x, r, c.width), *dsum = row<T>(c.dsum, r, c.width);
        const Y* dy = row<Y>(c.dy, r, c.width);
        T* dx = row<T>(c.dx, r, c.width);
        const Stats<C> s = elements<Stats<C>>(c.stats)[r];
        if (s.factor != 1) [[unlikely]]
            rare_row(x, dy, dsum, weight, s, dx, dweight, dbias, c.width);
        else if (!backward_row<kAffine>(x, dy, dsum, weight, s, dx, dweight, dbias, c.width)) [[unlikely]]
            rare_row<T, Y, C>(x, dy, dsum, weight, s, dx, nullptr, nullptr, c.width);
    }
}

// fn.operator()<T, Y>(); Y is the type of y and dy.
template <class F> DEMI_INLINE void with_types(DType x, DType y, const F& fn) {
    dispatch_float(x, [&]<class T>() {
        if constexpr (sizeof(T) == 4) {
            if (y == DType::f16) return fn.template operator()<T, Half>();
            if (y == DType::bf16) return fn.template operator()<T, BFloat16>();
        }
        fn.template operator()<T, T>();
    });
}

// The parameter's memory, or `constant`, filled with `value`, in its place.
template <class C> DEMI_RARE const C* parameter(ConstMem m, C value, int64_t width, C* constant) {
    if (m.data != nullptr) return elements<C>(m);
    fill_row(constant, value, width);
    return constant;
}

void forward(const LayernormForward& call, Queue queue) {
    with_types(call.x.dtype, call.y.dtype, [&]<class T, class Y>() {
        typedef lane_t<T> C;
        const bool constants = call.weight.data == nullptr || call.bias.data == nullptr;
        const Scratch scratch(constants ? static_cast<size_t>(2 * call.width) * sizeof(C) : 0, queue);
        const C* weight = parameter<C>(call.weight, 1, call.width, scratch.as<C>());
        const C* bias = parameter<C>(call.bias, 0, call.width, scratch.as<C>() + call.width);
        parallel_rows(call.rows, call.width, [&](int64_t first, int64_t count) {
            const LayernormForward c = call;
            for (int64_t r = first, end = first + count; r < end; r += 2)
                forward_rows<T, Y>(c, weight, bias, r, r + 1 < end ? 2 : 1);
        });
    });
}

void backward(const LayernormBackward& call, Queue queue) {
    with_types(call.x.dtype, call.dy.dtype, [&]<class T, class Y>() {
        typedef lane_t<T> C;
        const size_t constants = call.weight.data == nullptr ? static_cast<size_t>(call.width) : 0;
        const Scratch scratch(constants * sizeof(C), queue);
        const C* weight = parameter<C>(call.weight, 1, call.width, scratch.as<C>());
        if (call.dweight.data == nullptr)
            return parallel_rows(call.rows, call.width, [&](int64_t first, int64_t count) {
                backward_rows<false, T, Y, C>(call, weight, first, count, nullptr, nullptr);
            });
        sum_rows(call.rows, call.width, {elements<C>(call.dweight), elements<C>(call.dbias)}, queue,
                 [&](int64_t first, int64_t count, C* const(&sums)[2]) {
                     backward_rows<true, T, Y>(call, weight, first, count, sums[0], sums[1]);
                 });
    });
}

}  // namespace

const LayernormKernels layernorm_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
