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
void forward_rows(const LayernormForward& call, const C* weight, const C* bias, int64_t first,
                  int64_t count) {
    const int64_t width = call.width;
    const auto source = [&](int64_t r) {
        const T *x = row<T>(call.x, r, width), *residual = row<T>(call.residual, r, width);
        if (residual == nullptr) return x;
        T* sum = row<T>(call.sum, r, width);
        for_lanes<T>(width, [&] DEMI_LANES { put(sum + i, get(x + i, n) + get(residual + i, n), n); });
        return static_cast<const T*>(sum);
    };
    const auto write = [&](const T* x, const Stats<C>& s, int64_t r) {
        Y* y = row<Y>(call.y, r, width);
        if (s.factor == 1)
            write_row<true>(x, weight, bias, s, y, width);
        else
            write_row<false>(x, weight, bias, s, y, width);
        elements<Stats<C>>(call.stats)[r] = s;
    };
    const int64_t end = first + count;
    // Two at a time: each waits for its own sums, not for the other's.
    for (int64_t r = first; r < end; r += 2) {
        const T* const x[2] = {source(r), r + 1 < end ? source(r + 1) : nullptr};
        Stats<C> s[2];
        if (r + 1 < end) {
            stats_of_two(x, width, static_cast<C>(call.eps), s);
            write(x[0], s[0], r);
            write(x[1], s[1], r + 1);
        } else {
            stats_of(x[0], width, static_cast<C>(call.eps), s[0]);
            write(x[0], s[0], r);
        }
    }
}

// One row of factor 1. The sums of g and g * n come first; dweight and dbias take their share while the row
// is in registers. False where a result is not finite.
template <bool kAffine, bool kInput, class T, class Y, class C>
DEMI_INLINE bool backward_row(const T* x, const Y* dy, const T* dsum, const C* weight, const Stats<C>& s,
                              T* dx, C* dweight, C* dbias, int64_t width) {
    const auto m = splat<T>(s.mean), c = splat<T>(s.shift), r = splat<T>(s.rstd);
    double total_g = 0, total_gn = 0;
    for_blocks<T>(width, [&] DEMI_BLOCK {
        auto sum_g = splat<T>(0), sum_gn = splat<T>(0);
        for_lanes<T>(begin, end, [&] DEMI_LANES {
            const auto d = get(dy + i, n);
            const auto normal = ((get(x + i, n) - m) - c) * r;  // dy is 0 in unused lanes
            if constexpr (kAffine) {
                put(dweight + i, fma(d, normal, get(dweight + i, n)), n);
                put(dbias + i, get(dbias + i, n) + d, n);
            }
            if constexpr (kInput) {
                const auto g = d * get(weight + i, n);
                sum_g = sum_g + g;
                sum_gn = fma(g, normal, sum_gn);
            }
        });
        total_g += static_cast<double>(hsum(sum_g));
        total_gn += static_cast<double>(hsum(sum_gn));
    });
    auto good = all_lanes<T>();
    if constexpr (kInput) {
        const auto a = splat<T>(mean(static_cast<C>(total_g), width)),
                   b = splat<T>(mean(static_cast<C>(total_gn), width));
        for_lanes<T>(width, [&] DEMI_LANES {
            const auto normal = ((get(x + i, n) - m) - c) * r;
            const auto g = get(dy + i, n) * get(weight + i, n);
            auto out = r * fnma(normal, b, g - a);
            if (dsum != nullptr) out = out + get(dsum + i, n);
            good = mask_and(good, is_finite(out));
            put(dx + i, out, n);
        });
    }
    return all(good);
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

// Adds to dweight and dbias where they are not null.
template <class T, class Y, class C>
void backward_rows(const LayernormBackward& call, const C* weight, int64_t first, int64_t count, C* dweight,
                   C* dbias) {
    const int64_t width = call.width;
    for (int64_t r = first; r < first + count; ++r) {
        const T *x = row<T>(call.x, r, width), *dsum = row<T>(call.dsum, r, width);
        const Y* dy = row<Y>(call.dy, r, width);
        T* dx = row<T>(call.dx, r, width);
        const Stats<C> s = elements<Stats<C>>(call.stats)[r];
        if (s.factor != 1) {
            rare_row(x, dy, dsum, weight, s, dx, dweight, dbias, width);
            continue;
        }
        bool good = true;
        if (dweight != nullptr && dx != nullptr)
            good = backward_row<true, true>(x, dy, dsum, weight, s, dx, dweight, dbias, width);
        else if (dweight != nullptr)
            backward_row<true, false>(x, dy, dsum, weight, s, dx, dweight, dbias, width);
        else
            good = backward_row<false, true>(x, dy, dsum, weight, s, dx, dweight, dbias, width);
        if (!good) rare_row<T, Y, C>(x, dy, dsum, weight, s, dx, nullptr, nullptr, width);
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
template <class C> DEMI_INLINE const C* parameter(ConstMem m, C value, int64_t width, C* constant) {
    if (m.data != nullptr) return elements<C>(m);
    for (int64_t i = 0; i < width; ++i) constant[i] = value;
    return constant;
}

void forward(const LayernormForward& c, Queue queue) {
    with_types(c.x.dtype, c.y.dtype, [&]<class T, class Y>() {
        typedef lane_t<T> C;
        const bool constants = c.weight.data == nullptr || c.bias.data == nullptr;
        const Scratch scratch(constants ? static_cast<size_t>(2 * c.width) * sizeof(C) : 0, queue);
        const C* weight = parameter<C>(c.weight, 1, c.width, scratch.as<C>());
        const C* bias = parameter<C>(c.bias, 0, c.width, scratch.as<C>() + c.width);
        parallel_rows(c.rows, c.width, [&](int64_t first, int64_t count) {
            forward_rows<T, Y>(c, weight, bias, first, count);
        });
    });
}

void backward(const LayernormBackward& c, Queue queue) {
    with_types(c.x.dtype, c.dy.dtype, [&]<class T, class Y>() {
        typedef lane_t<T> C;
        const Scratch scratch(c.weight.data == nullptr ? static_cast<size_t>(c.width) * sizeof(C) : 0, queue);
        const C* weight = parameter<C>(c.weight, 1, c.width, scratch.as<C>());
        if (c.dweight.data == nullptr)
            return parallel_rows(c.rows, c.width, [&](int64_t first, int64_t count) {
                backward_rows<T, Y, C>(c, weight, first, count, nullptr, nullptr);
            });
        sum_rows(c.rows, c.width, {elements<C>(c.dweight), elements<C>(c.dbias)}, queue,
                 [&](int64_t first, int64_t count, C* const(&sums)[2]) {
                     backward_rows<T, Y>(c, weight, first, count, sums[0], sums[1]);
                 });
    });
}

}  // namespace

const LayernormKernels layernorm_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
