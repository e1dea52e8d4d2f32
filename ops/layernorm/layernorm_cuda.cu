#include "ops/layernorm/layernorm_cuda.h"

#include "ops/rows/column_sums_device.h"

namespace demi::gpu_kernels {
namespace {

// As in layernorm_kernels.h.
template <class C> struct alignas(4 * sizeof(C)) Stats {
    C mean, shift, rstd, factor;

    DEMI_DEVICE C normal(C x) const { return ((x * factor - mean) - shift) * rstd; }
};

// Y: of y and dy, T or a 16-bit type beside f32.
template <class T, class Y, class Plan> struct Forward {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = Plan::kBlock;
    LayernormForwardCall p;
    bool aligned;

    DEMI_DEVICE Row<T, Plan> row(int64_t at) const {
        const T* x = static_cast<const T*>(p.x) + at;
        if (p.residual == nullptr) return Row<T, Plan>(x, p.width, aligned);
        return Row<T, Plan>(x, static_cast<const T*>(p.residual) + at, static_cast<T*>(p.sum) + at, p.width,
                            aligned);
    }
    // The variance of the row times s.factor, with s.mean and s.shift; as find_stats on the CPU.
    DEMI_DEVICE C find_stats(const Row<T, Plan>& x, Stats<C>& s) const {
        const C share = C(1) / static_cast<C>(p.width);
        s.mean = 0;
        x.each(p.width, [&](C v) { s.mean += v * s.factor; });
        s.mean = share * Plan::sum(s.mean);
        for (int turn = 0;; ++turn) {
            C shift = 0, square = 0;
            x.each(p.width, [&](C v) {
                const C d = v * s.factor - s.mean;
                shift += d;
                square += d * d;
            });
            s.shift = share * Plan::sum(shift);
            square = share * Plan::sum(square);
            const C variance = square - s.shift * s.shift;
            if (turn == 1 || s.shift * s.shift <= C(0x1p-10f) * square) return variance < 0 ? C(0) : variance;
            s.mean += s.shift;
        }
    }
    DEMI_DEVICE void rare_stats(const Row<T, Plan>& x, Stats<C>& s) const {
        const C eps = static_cast<C>(p.eps), root_eps = gpu::sqrt(eps);
        C top = -gpu::infinity(), others = 0;
        x.each(p.width, [&](C v) { top = v > top ? v : top; });
        top = Plan::max(top);
        x.each(p.width, [&](C v) { others += v == top ? C(0) : C(1); });
        if (Plan::sum(others) == 0) {
            s = {0, 0, eps > 0 ? 1 / root_eps : C(0), 0};
            return;
        }
        s.factor = gpu::ldexp(C(1), balance(x.largest(p.width)));
        const C a = gpu::sqrt(find_stats(x, s)), b = root_eps * s.factor;
        const C high = a > b ? a : b, low = a > b ? b : a;
        s.rstd = 1 / (high * gpu::sqrt(1 + low / high * (low / high)));
    }
    DEMI_DEVICE Stats<C> stats_of(const Row<T, Plan>& x) const {
        const C eps = static_cast<C>(p.eps);
        Stats<C> s{0, 0, 0, 1};
        const C variance = find_stats(x, s);
        if (variance > 0 && squares_fit(variance + eps))
            s.rstd = C(1) / gpu::sqrt(variance + eps);
        else
            rare_stats(x, s);
        const C moved = gpu::abs(s.shift * s.rstd);
        if (moved < (sizeof(C) == 8 ? C(0x1p-44) : C(0x1p-20f))) s.shift = 0;
        return s;
    }
    DEMI_DEVICE void operator()() const {
        const C *weight = static_cast<const C*>(p.weight), *bias = static_cast<const C*>(p.bias);
        for (int64_t r = Plan::first_row(); r < p.rows; r += Plan::row_step()) {
            const Row<T, Plan> x = row(r * p.width);
            const Stats<C> s = stats_of(x);
            Y* y = static_cast<Y*>(p.y) + r * p.width;
            Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
                Values<T> v = x.values(k, at, count), w, b;
                if (weight != nullptr) w = read_beside<T>(weight + at, count, aligned);
                if (bias != nullptr) b = read_beside<T>(bias + at, count, aligned);
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i) {
                    v.v[i] = gpu::fma(s.normal(v.v[i]), weight != nullptr ? w.v[i] : C(1),
                                      bias != nullptr ? b.v[i] : C(0));
                }
                Aside<T, Y>::write(y + at, v, count, aligned);
            });
            if (Plan::rank() == 0) static_cast<Stats<C>*>(p.stats)[r] = s;
        }
    }
};

// A block takes `per` rows that follow one another: dx of each, and its share of dweight and dbias.
template <class T, class Y, class Plan, bool kInput, bool kAffine> struct Backward {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = Plan::kBlock;
    // Short rows leave registers free: the next row is on its way while this one is computed.
    static constexpr bool kAhead = Plan::kCached && Plan::kElements <= 12;
    LayernormBackwardCall p;
    int64_t per;
    bool aligned;

    struct Rows {
        Row<T, Plan> x;
        Row<T, Plan, Y> dy;
        Stats<C> stats;
    };
    DEMI_DEVICE Rows rows(int64_t r) const {
        const int64_t at = r * p.width;
        return {{static_cast<const T*>(p.x) + at, p.width, aligned},
                {static_cast<const Y*>(p.dy) + at, p.width, aligned},
                static_cast<const Stats<C>*>(p.stats)[r]};
    }

    DEMI_DEVICE void operator()() const {
        const int64_t block = gpu::block_idx().x, begin = block * per;
        const int64_t end = begin + per < p.rows ? begin + per : p.rows;
        C* partial = kAffine ? static_cast<C*>(p.partial) + block * 2 * p.width : nullptr;
        ColumnSums<T, Plan> dweight(partial, p.width), dbias(kAffine ? partial + p.width : nullptr, p.width);
        int64_t r = begin + Plan::place();
        if constexpr (kAhead) {
            if (r < end) {
                Rows now = rows(r);
                for (; r + Plan::kRows < end; r += Plan::kRows) {
                    const Rows next = rows(r + Plan::kRows);
                    row(r, now, dweight, dbias);
                    now = next;
                }
                row(r, now, dweight, dbias);
            }
        } else {
            for (; r < end; r += Plan::kRows) row(r, rows(r), dweight, dbias);
        }
        if constexpr (kAffine) {
            dweight.finish(p.width, gpu::shared<C>());
            gpu::sync_threads();
            dbias.finish(p.width, gpu::shared<C>());
        }
    }
    DEMI_DEVICE void row(int64_t r, const Rows& in, ColumnSums<T, Plan>& dweight,
                         ColumnSums<T, Plan>& dbias) const {
        const C* weight = static_cast<const C*>(p.weight);
        const bool adds = kInput && p.dsum != nullptr;
        const Row<T, Plan> dsum(adds ? static_cast<const T*>(p.dsum) + r * p.width : nullptr, p.width,
                                aligned);
        C sum_g = 0, sum_gn = 0;
        Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
            const Values<T> v = in.x.values(k, at, count), d = in.dy.values(k, at, count);
            Values<T> w;
            if (kInput && weight != nullptr) w = read_beside<T>(weight + at, count, aligned);
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) {
                if (i >= count) continue;
                const C normal = in.stats.normal(v.v[i]);
                if constexpr (kAffine) {
                    dweight.multiply_add(k, at, i, d.v[i], normal);
                    dbias.add(k, at, i, d.v[i]);
                }
                if constexpr (kInput) {
                    const C g = weight != nullptr ? d.v[i] * w.v[i] : d.v[i];
                    sum_g += g;
                    sum_gn = gpu::fma(g, normal, sum_gn);
                }
            }
        });
        if constexpr (kInput) {
            const Stats<C>& s = in.stats;
            const C share = C(1) / static_cast<C>(p.width);
            C a = share * Plan::sum(sum_g), b = share * Plan::sum(sum_gn), down = 1;
            int back = 0;
            if (s.factor != 1 || !gpu::is_finite(a) || !gpu::is_finite(b)) {
                const int h = balance(in.dy.largest(p.width), -10);
                down = gpu::ldexp(C(1), h);
                back = -h;
                if (s.factor != 0) {
                    int e;
                    gpu::frexp(s.factor, &e);
                    back += e - 1;
                }
                rare_means(in, down, a, b);
            }
            T* dx = static_cast<T*>(p.dx) + r * p.width;
            Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
                const Values<T> v = in.x.values(k, at, count);
                Values<T> d = in.dy.values(k, at, count), w, more;
                if (weight != nullptr) w = read_beside<T>(weight + at, count, aligned);
                if (adds) more = dsum.values(k, at, count);
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i) {
                    const C normal = s.normal(v.v[i]);
                    const C g = weight != nullptr ? d.v[i] * down * w.v[i] : d.v[i] * down;
                    d.v[i] = s.rstd * gpu::fma(-normal, b, g - a);
                    if (back != 0) d.v[i] = gpu::ldexp(d.v[i], back);
                    if (!gpu::is_finite(d.v[i]) && back == 0)
                        d.v[i] = 4 * (s.rstd * gpu::fma(-normal, b / 4, g / 4 - a / 4));
                    if (adds) d.v[i] += more.v[i];
                }
                write_values(dx + at, d, count, aligned);
            });
        }
    }
    // a = mean(g), b = mean(g n) with dy times `down`; the first corrected, so that a constant row turns a
    // constant g into 0.
    DEMI_DEVICE void rare_means(const Rows& in, C down, C& a, C& b) const {
        const C* weight = static_cast<const C*>(p.weight);
        const C share = C(1) / static_cast<C>(p.width);
        const auto mean_of = [&](auto&& term) {
            C sum = 0;
            Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
                const Values<T> v = in.x.values(k, at, count), d = in.dy.values(k, at, count);
                Values<T> w;
                if (weight != nullptr) w = read_beside<T>(weight + at, count, aligned);
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i)
                    if (i < count)
                        sum += term(weight != nullptr ? d.v[i] * down * w.v[i] : d.v[i] * down, v.v[i]);
            });
            return share * Plan::sum(sum);
        };
        a = mean_of([](C g, C) { return g; });
        a += mean_of([&](C g, C) { return g - a; });
        b = mean_of([&](C g, C x) { return g * in.stats.normal(x); });
    }
};

template <class T, class Y, class Plan, bool kInput, bool kAffine>
void launch_backward(const LayernormBackwardCall& call, bool aligned, gpu::Stream stream) {
    const RowBlocks blocks = row_blocks(call.rows);
    const size_t sums = kAffine ? ColumnSums<T, Plan>::shared_bytes(call.width) : 0;
    const size_t scratch = Plan::template shared_bytes<gpu::compute_t<T>>();
    gpu::launch(Backward<T, Y, Plan, kInput, kAffine>{call, blocks.per, aligned},
                {static_cast<unsigned>(blocks.count)}, {Plan::kBlock}, sums > scratch ? sums : scratch,
                stream);
}

// fn(tag of T, tag of Y, plan).
template <class F> void with_types(DType type, DType y, int64_t width, F&& fn) {
    with_rows(type, width, [&](auto tag, auto plan) {
        if constexpr (sizeof(gpu::tag_t<decltype(tag)>) == 4) {
            if (y == DType::f16) return fn(tag, gpu::Tag<Half>{}, plan);
            if (y == DType::bf16) return fn(tag, gpu::Tag<BFloat16>{}, plan);
        }
        fn(tag, tag, plan);
    });
}

}  // namespace

void layernorm_forward(DType type, DType y, const LayernormForwardCall& call, gpu::Stream stream) {
    with_types(type, y, call.width, [&](auto tag, auto y_tag, auto plan) {
        typedef gpu::tag_t<decltype(tag)> T;
        typedef gpu::tag_t<decltype(y_tag)> Y;
        typedef decltype(plan) Plan;
        const bool aligned = call.width % kPack<T> == 0 &&
                             all_aligned(call.x, call.residual, call.weight, call.bias, call.sum, call.y);
        launch_rows(Forward<T, Y, Plan>{call, aligned}, plan, call.rows,
                    Plan::template shared_bytes<gpu::compute_t<T>>(), stream);
    });
}

void layernorm_backward(DType type, DType y, const LayernormBackwardCall& call, gpu::Stream stream) {
    with_types(type, y, call.width, [&](auto tag, auto y_tag, auto plan) {
        typedef gpu::tag_t<decltype(tag)> T;
        typedef gpu::tag_t<decltype(y_tag)> Y;
        typedef decltype(plan) Plan;
        const bool aligned =
            call.width % kPack<T> == 0 && all_aligned(call.x, call.weight, call.dy, call.dsum, call.dx);
        if (call.dweight == nullptr)
            launch_backward<T, Y, Plan, true, false>(call, aligned, stream);
        else if (call.dx == nullptr)
            launch_backward<T, Y, Plan, false, true>(call, aligned, stream);
        else
            launch_backward<T, Y, Plan, true, true>(call, aligned, stream);
    });
    if (call.dweight != nullptr)
        sum_partials(type, {call.partial, call.dweight, call.dbias, row_blocks(call.rows).count, call.width},
                     stream);
}

}  // namespace demi::gpu_kernels
