#pragma once
// Device code: rows of contiguous [rows, width] tensors. A warp takes a row, or a whole block where rows are long. A
// thread's elements, and with them the order of every sum, depend on the width only.
#include "ops/kernel_cuda.h"
#include "ops/rows/column_sums_cuda.h"

namespace demi::gpu_kernels {

// kThreads: 32 (a warp takes a row, four to a block), else a block of that many. kCached: a thread keeps its
// elements, at most kElements of them, in registers; fewer of them let more warps run.
template <int kThreads_, bool kCached_, int kElements_ = 32> struct RowPlan {
    static constexpr int kThreads = kThreads_, kElements = kElements_;
    static constexpr bool kCached = kCached_;
    static constexpr int kRows = kThreads == 32 ? 4 : 1;  // rows that a block works on at a time
    static constexpr int kBlock = kThreads * kRows;
    template <class T> static constexpr int kPacks = kCached ? (kElements + kPack<T> - 1) / kPack<T> : 1;

    static DEMI_DEVICE int rank() {
        return kThreads == 32 ? gpu::lane() : static_cast<int>(gpu::thread_idx().x);
    }
    static DEMI_DEVICE int place() { return kRows == 1 ? 0 : gpu::warp(); }  // which of the block's rows
    static DEMI_DEVICE int64_t first_row() {
        return static_cast<int64_t>(gpu::block_idx().x) * kRows + place();
    }
    static DEMI_DEVICE int64_t row_step() { return static_cast<int64_t>(gpu::grid_dim().x) * kRows; }

    // Over the threads of a row; the same value in each. All of them call it.
    template <class C> static DEMI_DEVICE C sum(C v) {
        return combine(gpu::warp_sum(v), [](C a, C b) { return a + b; });
    }
    template <class C> static DEMI_DEVICE C max(C v) {
        return combine(gpu::warp_max(v), [](C a, C b) { return b > a ? b : a; });
    }
    // What the warps of a row have, in their order.
    template <class C, class F> static DEMI_DEVICE C combine(C v, F&& fn) {
        if (kThreads == 32) return v;
        C* scratch = gpu::shared<C>();
        gpu::sync_threads();
        if (gpu::lane() == 0) scratch[gpu::warp()] = v;
        gpu::sync_threads();
        C all = scratch[0];
        for (int w = 1; w < kThreads / 32; ++w) all = fn(all, scratch[w]);
        return all;
    }
    template <class C> static constexpr size_t shared_bytes() {
        return kThreads == 32 ? 0 : kThreads / 32 * sizeof(C);
    }

    // fn(k, first element, count) for this thread's packs of a row; k is a constant where kCached.
    template <class T, class F> static DEMI_DEVICE void each_pack(int64_t width, F&& fn) {
        constexpr int64_t kStep = static_cast<int64_t>(kThreads) * kPack<T>;
        if constexpr (kCached) {
            DEMI_UNROLL
            for (int k = 0; k < kPacks<T>; ++k) {
                const int64_t at = k * kStep + rank() * kPack<T>;
                if (at < width) fn(k, at, static_cast<int>(width - at < kPack<T> ? width - at : kPack<T>));
            }
        } else {
            for (int64_t at = static_cast<int64_t>(rank()) * kPack<T>; at < width; at += kStep)
                fn(0, at, static_cast<int>(width - at < kPack<T> ? width - at : kPack<T>));
        }
    }
};

// One row as its threads see it: in registers where the plan caches, else read again and again. Y: the type
// in memory where that is not T.
template <class T, class Plan, class Y = T> struct Row {
    typedef Aside<T, Y> Access;
    typedef gpu::compute_t<T> C;
    const Y* start;  // null: nothing is read
    int64_t width;
    bool aligned;  // the row's start is, and its width is whole packs
    typename Access::Bits kept[Plan::template kPacks<T>];

    DEMI_DEVICE Row(const Y* start_, int64_t width_, bool aligned_)
        : start(start_), width(width_), aligned(aligned_) {
        if (Plan::kCached && start != nullptr)
            Plan::template each_pack<T>(width, [&](int k, int64_t at, int count) {
                kept[k] = Access::read(start + at, count, aligned);
            });
    }
    // x = a + b, rounded to T and written.
    DEMI_DEVICE Row(const T* a, const T* b, T* x, int64_t width_, bool aligned_)
        : start(x), width(width_), aligned(aligned_) {
        Plan::template each_pack<T>(width, [&](int k, int64_t at, int count) {
            Values<T> v = read_values(a + at, count, aligned);
            const Values<T> w = read_values(b + at, count, aligned);
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) v.v[i] += w.v[i];
            const Bytes16 rounded = pack(v);
            write_pack(x + at, rounded, count, aligned);
            if (Plan::kCached) kept[k] = rounded;
        });
    }
    DEMI_DEVICE Values<T> values(int k, int64_t at, int count) const {
        return Access::values(Plan::kCached ? kept[k] : Access::read(start + at, count, aligned));
    }
    // fn(value), or fn(value, the other row's), for every element of this thread.
    template <class F, class... Others> DEMI_DEVICE void each(F&& fn, const Others&... others) const {
        Plan::template each_pack<T>(width, [&](int k, int64_t at, int count) {
            const auto all = [&](const auto&... x) {
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i)
                    if (i < count) fn(x.v[i]...);
            };
            all(values(k, at, count), others.values(k, at, count)...);
        });
    }
    // to = fn(value), or fn(value, the other row's).
    template <class F, class... Others> DEMI_DEVICE void write(T* to, F&& fn, const Others&... others) const {
        Plan::template each_pack<T>(width, [&](int k, int64_t at, int count) {
            Values<T> y;
            const auto all = [&](const auto&... x) {
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i) y.v[i] = fn(x.v[i]...);
            };
            all(values(k, at, count), others.values(k, at, count)...);
            write_values(to + at, y, count, aligned);
        });
    }
    // Over the row, in each of its threads: the sum of fn(...), the largest value (-infinity beside nothing but
    // NaN), the largest magnitude, whether all have one value.
    template <class F, class... Others> DEMI_DEVICE C sum(F&& fn, const Others&... others) const {
        C sum = 0;
        each([&](auto... x) { sum += fn(x...); }, others...);
        return Plan::sum(sum);
    }
    DEMI_DEVICE C top() const {
        C top = -gpu::infinity();
        each([&](C v) { top = v > top ? v : top; });
        return Plan::max(top);
    }
    DEMI_DEVICE C largest() const {
        C top = 0;
        each([&](C v) { top = gpu::abs(v) > top ? gpu::abs(v) : top; });
        return Plan::max(top);
    }
    DEMI_DEVICE bool all_are(C value) const {
        return sum([&](C v) { return v == value ? C(0) : C(1); }) == 0;
    }
};

// Rows whose squares or products leave the range are taken again times 2^e, which brings the largest element
// near 2^target: within what C holds, 0 for zero and for what is not finite.
template <class C> constexpr int kBalanced = sizeof(C) == 8 ? 200 : 30;
template <class C> DEMI_DEVICE int balance(C largest, int target = kBalanced<C>) {
    if (!(largest > 0 && gpu::is_finite(largest))) return 0;
    int e;
    gpu::frexp(largest, &e);
    const int least = sizeof(C) == 8 ? -1000 : -126, most = sizeof(C) == 8 ? 1000 : 120;
    e = target + 1 - e;
    return e < least ? least : e > most ? most : e;
}
// The sum of squares of a row is good to the last digit.
template <class C> DEMI_DEVICE bool squares_fit(C sum) {
    return sum >= (sizeof(C) == 8 ? C(1e-290) : C(1e-30f)) && gpu::is_finite(sum);
}

// A block's share of column sums, beside kernels that walk rows by a RowPlan. Every thread adds to the columns that its
// plan gives it.
template <class T, class Plan> struct ColumnSums {
    typedef gpu::compute_t<T> C;
    C kept[Plan::template kPacks<T>][kPack<T>];
    C* out;  // the block's partial sums

    DEMI_DEVICE ColumnSums(C* out_, int64_t width) : out(out_) {
        if (out == nullptr) return;
        DEMI_UNROLL
        for (int k = 0; k < Plan::template kPacks<T>; ++k) {
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i) kept[k][i] = 0;
        }
        if constexpr (!Plan::kCached) each(width, [&](int, int, int64_t column) { out[column] = 0; });
    }
    // fn(k, i, column) for this thread's columns, elements i of packs k.
    template <class F> static DEMI_DEVICE void each(int64_t width, const F& fn) {
        Plan::template each_pack<T>(width, [&](int k, int64_t at, int count) {
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i)
                if (i < count) fn(k, i, at + i);
        });
    }
    // Into column at + i, element i of pack k.
    DEMI_DEVICE void add(int k, int64_t at, int i, C value) {
        if constexpr (Plan::kCached)
            kept[k][i] += value;
        else
            out[at + i] += value;
    }
    DEMI_DEVICE void multiply_add(int k, int64_t at, int i, C a, C b) {
        if constexpr (Plan::kCached)
            kept[k][i] = gpu::fma(a, b, kept[k][i]);
        else
            out[at + i] = gpu::fma(a, b, out[at + i]);
    }
    // All threads of the block; scratch: `width` values of shared memory where a block holds several rows.
    DEMI_DEVICE void finish(int64_t width, C* scratch) {
        if (out == nullptr) return;
        if constexpr (Plan::kCached && Plan::kRows == 1)
            each(width, [&](int k, int i, int64_t column) { out[column] = kept[k][i]; });
        if constexpr (Plan::kRows > 1) {
            for (int turn = 0; turn < Plan::kRows; ++turn) {
                gpu::sync_threads();
                if (Plan::place() != turn) continue;
                each(width, [&](int k, int i, int64_t column) {
                    scratch[column] = (turn == 0 ? C(0) : scratch[column]) + kept[k][i];
                });
            }
            gpu::sync_threads();
            for (int64_t c = gpu::thread_idx().x; c < width; c += Plan::kBlock) out[c] = scratch[c];
        }
    }
    static size_t shared_bytes(int64_t width) {
        return Plan::kRows == 1 ? 0 : static_cast<size_t>(width) * sizeof(C);
    }
};

// ---- host side: fn(tag, plan) for type and width ----------------
constexpr int64_t kRowBlocks = 1 << 20;

// f64 is for checks: one plan serves every width.
template <class F> void with_rows(DType type, int64_t width, F&& fn) {
    gpu::dispatch_float(type, [&](auto tag) {
        typedef gpu::tag_t<decltype(tag)> T;
        if constexpr (sizeof(T) == 8)
            return fn(tag, RowPlan<256, false>{});
        else if (width <= 32 * 12)
            fn(tag, RowPlan<32, true, 12>{});
        else if (width <= 32 * 24)
            fn(tag, RowPlan<32, true, 24>{});
        else if (width <= 32 * 32)
            fn(tag, RowPlan<32, true>{});
        else if (width <= 256 * 32)
            fn(tag, RowPlan<256, true>{});
        else
            fn(tag, RowPlan<1024, false>{});
    });
}

// body(r) for the rows r of a call, body.p.
template <class Body, int kThreads> struct EachRow {
    typedef RowPlan<kThreads, false> Plan;
    static constexpr int threads = Plan::kBlock;
    Body body;
    DEMI_DEVICE void operator()() const {
        for (int64_t r = Plan::first_row(); r < body.p.rows; r += Plan::row_step()) body(r);
    }
};
template <class Plan, class Body> void launch_rows(const Body& body, Plan, gpu::Stream stream) {
    gpu::launch(EachRow<Body, Plan::kThreads>{body}, gpu::blocks_for(body.p.rows, Plan::kRows, kRowBlocks),
                {static_cast<unsigned>(Plan::kBlock)}, Plan::template shared_bytes<double>(), stream);
}
// Body<T, Plan>{call, aligned}. lines: the call's memory starts at 16-byte lines.
template <template <class, class> class Body, class Call>
void launch_rows(DType type, const Call& call, bool lines, gpu::Stream stream) {
    with_rows(type, call.width, [&](auto tag, auto plan) {
        typedef gpu::tag_t<decltype(tag)> T;
        const bool aligned = lines && call.width % kPack<T> == 0;
        launch_rows(Body<T, decltype(plan)>{call, aligned}, plan, stream);
    });
}

}  // namespace demi::gpu_kernels
