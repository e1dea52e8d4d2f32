#include "ops/layernorm/layernorm_kernels.h"

#include "ops/rows/rows_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

// As in layernorm_kernels.h.
template <class C> struct alignas(4 * sizeof(C)) Stats {
    C mean, shift, rstd, factor;

    DEMI_DEVICE C normal(C x) const { return ((x * factor - mean) - shift) * rstd; }
};

// Y: of y and dy, T or a 16-bit type beside f32.
template <class T, class Y, class Plan> struct Forward {
    typedef gpu::compute_t<T> C;
    LayernormForward p;
    bool aligned;

    DEMI_DEVICE Row<T, Plan> read(int64_t r) const {
        const T *x = row<T>(p.x, r, p.width), *residual = row<T>(p.residual, r, p.width);
        if (residual == nullptr) return Row<T, Plan>(x, p.width, aligned);
        return Row<T, Plan>(x, residual, row<T>(p.sum, r, p.width), p.width, aligned);
    }
    // The variance of the row times s.factor, with s.mean and s.shift; as find_stats on the CPU.
    DEMI_DEVICE C find_stats(const Row<T, Plan>& x, Stats<C>& s) const {
        const C share = C(1) / static_cast<C>(p.width);
        s.mean = share * x.sum([&](C v) { return v * s.factor; });
        for (int turn = 0;; ++turn) {
            C shift = 0, square = 0;
            x.each([&](C v) {
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
        if (x.all_are(x.top())) {
            s = {0, 0, eps > 0 ? 1 / root_eps : C(0), 0};
            return;
        }
        s.factor = gpu::ldexp(C(1), balance(x.largest()));
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
    DEMI_DEVICE void operator()(int64_t r) const {
        const C *weight = elements<C>(p.weight), *bias = elements<C>(p.bias);
        const Row<T, Plan> x = read(r);
        const Stats<C> s = stats_of(x);
        Y* y = row<Y>(p.y, r, p.width);
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
        if (Plan::rank() == 0) elements<Stats<C>>(p.stats)[r] = s;
    }
};

// A block takes `per` rows that follow one another: dx of each, and its share of dweight and dbias.
template <class T, class Y, class Plan, bool kInput, bool kAffine> struct Backward {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = Plan::kBlock;
    // Short rows leave registers free: the next row is on its way while this one is computed.
    static constexpr bool kAhead = Plan::kCached && Plan::kElements <= 12;
    LayernormBackward p;
    C* partial;  // room for the sums of dweight and dbias of every block
    int64_t per;
    bool aligned;

    struct Rows {
        Row<T, Plan> x;
        Row<T, Plan, Y> dy;
        Stats<C> stats;
    };
    DEMI_DEVICE Rows read(int64_t r) const {
        return {{row<T>(p.x, r, p.width), p.width, aligned},
                {row<Y>(p.dy, r, p.width), p.width, aligned},
                elements<Stats<C>>(p.stats)[r]};
    }

    DEMI_DEVICE void operator()() const {
        const int64_t block = gpu::block_idx().x, begin = block * per;
        const int64_t end = begin + per < p.rows ? begin + per : p.rows;
        C* sums = kAffine ? partial + block * 2 * p.width : nullptr;
        ColumnSums<T, Plan> dweight(sums, p.width), dbias(kAffine ? sums + p.width : nullptr, p.width);
        int64_t r = begin + Plan::place();
        if constexpr (kAhead) {
            if (r < end) {
                Rows now = read(r);
                for (; r + Plan::kRows < end; r += Plan::kRows) {
                    const Rows next = read(r + Plan::kRows);
                    walk(r, now, dweight, dbias);
                    now = next;
                }
                walk(r, now, dweight, dbias);
            }
        } else {
            for (; r < end; r += Plan::kRows) walk(r, read(r), dweight, dbias);
        }
        if constexpr (kAffine) {
            dweight.finish(p.width, gpu::shared<C>());
            gpu::sync_threads();
            dbias.finish(p.width, gpu::shared<C>());
        }
    }
    DEMI_DEVICE void walk(int64_t r, const Rows& in, ColumnSums<T, Plan>& dweight,
                          ColumnSums<T, Plan>& dbias) const {
        const C* weight = elements<C>(p.weight);
        const bool adds = kInput && p.dsum.data != nullptr;
        const Row<T, Plan> dsum(adds ? row<T>(p.dsum, r, p.width) : nullptr, p.width, aligned);
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
                const int h = balance(in.dy.largest(), -10);
                down = gpu::ldexp(C(1), h);
                back = -h;
                if (s.factor != 0) {
                    int e;
                    gpu::frexp(s.factor, &e);
                    back += e - 1;
                }
                rare_means(in, down, a, b);
            }
            T* dx = row<T>(p.dx, r, p.width);
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
        const C* weight = elements<C>(p.weight);
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
void launch_backward(const LayernormBackward& c, bool aligned, Queue queue) {
    typedef gpu::compute_t<T> C;
    const RowBlocks blocks = row_blocks(c.rows);
    const Scratch partial(kAffine ? static_cast<size_t>(blocks.count * 2 * c.width) * sizeof(C) : 0, queue);
    const size_t sums = kAffine ? ColumnSums<T, Plan>::shared_bytes(c.width) : 0;
    const size_t scratch = Plan::template shared_bytes<C>();
    gpu::launch(Backward<T, Y, Plan, kInput, kAffine>{c, partial.as<C>(), blocks.per, aligned},
                {static_cast<unsigned>(blocks.count)}, {Plan::kBlock}, sums > scratch ? sums : scratch,
                queue.stream);
    if (kAffine)
        sum_partials(c.x.dtype, {partial.as<C>(), c.dweight.data, c.dbias.data, blocks.count, c.width},
                     queue.stream);
}

// fn(tag of T, tag of Y, plan).
template <class F> void with_types(DType x, DType y, int64_t width, F&& fn) {
    with_rows(x, width, [&](auto tag, auto plan) {
        if constexpr (sizeof(gpu::tag_t<decltype(tag)>) == 4) {
            if (y == DType::f16) return fn(tag, gpu::Tag<Half>{}, plan);
            if (y == DType::bf16) return fn(tag, gpu::Tag<BFloat16>{}, plan);
        }
        fn(tag, tag, plan);
    });
}

void forward(const LayernormForward& c, Queue queue) {
    with_types(c.x.dtype, c.y.dtype, c.width, [&](auto tag, auto y_tag, auto plan) {
        typedef gpu::tag_t<decltype(tag)> T;
        typedef gpu::tag_t<decltype(y_tag)> Y;
        typedef decltype(plan) Plan;
        const bool aligned = c.width % kPack<T> == 0 && all_aligned(c.x.data, c.residual.data, c.weight.data,
                                                                    c.bias.data, c.sum.data, c.y.data);
        launch_rows(Forward<T, Y, Plan>{c, aligned}, plan, queue.stream);
    });
}

void backward(const LayernormBackward& c, Queue queue) {
    with_types(c.x.dtype, c.dy.dtype, c.width, [&](auto tag, auto y_tag, auto plan) {
        typedef gpu::tag_t<decltype(tag)> T;
        typedef gpu::tag_t<decltype(y_tag)> Y;
        typedef decltype(plan) Plan;
        const bool aligned = c.width % kPack<T> == 0 &&
                             all_aligned(c.x.data, c.weight.data, c.dy.data, c.dsum.data, c.dx.data);
        if (c.dweight.data == nullptr)
            launch_backward<T, Y, Plan, true, false>(c, aligned, queue);
        else if (c.dx.data == nullptr)
            launch_backward<T, Y, Plan, false, true>(c, aligned, queue);
        else
            launch_backward<T, Y, Plan, true, true>(c, aligned, queue);
    });
}

}  // namespace

const LayernormKernels layernorm_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
