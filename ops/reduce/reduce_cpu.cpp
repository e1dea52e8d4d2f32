// Reductions in an order that depends on the shape only: the work is cut into chunks of fixed size, and the chunks' sums
// are added in order. A chunk whose sum is not finite is added once more in a wider type, for the result may fit though its
// parts do not.
#include "ops/reduce/reduce_kernels.h"

#include "ops/kernel_cpu.h"
#include "ops/rows/row_io.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr int64_t kBlock = 1024;   // elements summed in f32, or columns handled at a time
constexpr int64_t kChunk = 32768;  // elements of one tile

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t at_least_one(int64_t n) { return n > 1 ? n : 1; }

// What C is added in: `row` within a block, `total` over blocks, `wide` where those leave the range. Integers wrap around:
// overflow of a signed one is undefined.
template <class C> struct AddedIn {
    typedef double total, wide;
    typedef C row;
};
template <> struct AddedIn<double> {
    typedef double row, total;
    typedef long double wide;
};
template <> struct AddedIn<int64_t> { typedef uint64_t row, total, wide; };
template <class C> using adds_t = typename AddedIn<C>::row;
DEMI_INLINE bool in_range(double sum) { return __builtin_isfinite(sum); }
DEMI_INLINE bool in_range(uint64_t) { return true; }
DEMI_INLINE bool in_range(int64_t) { return true; }

// ---- rows: contiguous, in an order that the instruction set does not change ------------------------------
// Independent sums, whatever the instruction set: the order of additions is the same.
constexpr int kSums = 32;

template <class T> T sum_row(const T* x, int64_t count) {
    adds_t<T> sums[kSums] = {};
    int64_t i = 0;
    for (; i + kSums <= count; i += kSums)
        for (int k = 0; k < kSums; ++k) sums[k] += static_cast<adds_t<T>>(x[i + k]);
    for (int k = 0; i + k < count; ++k) sums[k] += static_cast<adds_t<T>>(x[i + k]);
    for (int half = kSums / 2; half > 0; half /= 2)
        for (int k = 0; k < half; ++k) sums[k] += sums[k + half];
    return static_cast<T>(sums[0]);
}

template <class T> constexpr T kNan = static_cast<T>(__builtin_nanf(""));
template <> constexpr int64_t kNan<int64_t> = 0;  // not used

template <class T> T max_row(const T* x, int64_t count) {
    T best[kSums];
    bool nan = false;
    for (int k = 0; k < kSums; ++k) best[k] = x[0];
    int64_t i = 0;
    for (; i + kSums <= count; i += kSums) {
        int bad = 0;
        for (int k = 0; k < kSums; ++k) {
            best[k] = x[i + k] > best[k] ? x[i + k] : best[k];
            bad |= !(x[i + k] == x[i + k]);
        }
        nan = nan || bad != 0;
    }
    for (; i < count; ++i) {
        best[0] = x[i] > best[0] ? x[i] : best[0];
        nan = nan || !(x[i] == x[i]);
    }
    if (nan) return kNan<T>;
    for (int half = kSums / 2; half > 0; half /= 2)
        for (int k = 0; k < half; ++k) best[k] = best[k] > best[k + half] ? best[k] : best[k + half];
    return best[0];
}

template <class T> void multiply_row(T* out, const T* a, const T* b, int64_t count) {
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) out[i] = a[i] * b[i];
}

template <class T> void add_four(T* acc, const T* const* x, int64_t count) {
    typedef adds_t<T> A;
    const T *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i)
        acc[i] = static_cast<T>(static_cast<A>(acc[i]) + ((static_cast<A>(x0[i]) + static_cast<A>(x1[i])) +
                                                          (static_cast<A>(x2[i]) + static_cast<A>(x3[i]))));
}

template <class T> void add_one(T* acc, const T* x, int64_t count) {
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i)
        acc[i] = static_cast<T>(static_cast<adds_t<T>>(acc[i]) + static_cast<adds_t<T>>(x[i]));
}

// ---- sums -----------------------------------------------------------------------------------------------
struct Place {
    int64_t x = 0, y = 0;
};

template <class C> RowSource<C> row_source(ConstMem m, int64_t step, int64_t size) {
    constexpr DType own = sizeof(C) == 4 ? DType::f32 : C(0.5) == 0 ? DType::i64 : DType::f64;
    if (m.data == nullptr) return {};
    return {m.data, step, row_loader<C>(m.dtype), m.dtype == own && (step == 1 || size == 1)};
}

template <class C> struct Sum {
    typedef typename AddedIn<C>::total Total;
    typedef typename AddedIn<C>::wide Wide;
    const ReduceSum& call;
    Queue queue;
    int outer;  // the number of groups, without the innermost one
    SumGroup inner{1, 0, 0, true};
    int64_t kept = 1, reduced = 1;  // numbers of outer index combinations
    RowSource<C> x, y;

    Sum(const ReduceSum& c, Queue q) : call(c), queue(q), outer(c.group_count > 0 ? c.group_count - 1 : 0) {
        if (c.group_count > 0) inner = c.groups[outer];
        for (int g = 0; g < outer; ++g) (c.groups[g].reduced ? reduced : kept) *= c.groups[g].size;
        x = row_source<C>(c.x, inner.x_step, inner.size);
        y = row_source<C>(c.y, inner.y_step, inner.size);
    }

    void run() const { inner.reduced ? inner_reduced() : inner_kept(); }

    Place place(int64_t kept_at, int64_t reduced_at) const {
        Place p;
        for (int i = outer - 1; i >= 0; --i) {
            const SumGroup& g = call.groups[i];
            int64_t& rest = g.reduced ? reduced_at : kept_at;
            if (rest == 0) continue;
            const int64_t at = rest < g.size ? rest : rest % g.size;
            rest = rest < g.size ? 0 : rest / g.size;
            p.x += at * g.x_step;
            p.y += at * g.y_step;
        }
        return p;
    }

    // Elements [begin, begin + count) of the inner group, multiplied where there is a y; count <= kBlock.
    const C* row(Place p, int64_t begin, int64_t count, C* buffer, C* second) const {
        const C* a = x.row(p.x, begin, count, buffer);
        if (y.base == nullptr) return a;
        multiply_row(buffer, a, y.row(p.y, begin, count, second), count);
        return buffer;
    }
    // fn(i, element) for the same elements in the wider type.
    template <class F> void each_wide(Place p, int64_t begin, int64_t count, F&& fn) const {
        C buffer[kBlock], second[kBlock];
        const C* a = x.row(p.x, begin, count, buffer);
        const C* b = y.base != nullptr ? y.row(p.y, begin, count, second) : nullptr;
        for (int64_t i = 0; i < count; ++i)
            fn(i, static_cast<Wide>(a[i]) * (b ? static_cast<Wide>(b[i]) : Wide{1}));
    }

    // The innermost dimension is reduced: sums[kept][chunk].
    void inner_reduced() const {
        const int64_t pieces = ceil_div(inner.size, kBlock), units = reduced * pieces;
        const int64_t units_of_chunk = at_least_one(kChunk / smaller(inner.size, kBlock));
        const int64_t chunks = ceil_div(units, units_of_chunk);
        const Scratch room(static_cast<size_t>(kept * chunks) * sizeof(Wide), queue);
        Wide* sums = room.as<Wide>();
        const int64_t elements = smaller(units, units_of_chunk) * smaller(inner.size, kBlock);
        parallel_ranges(kept * chunks, at_least_one(kChunk / elements), [&](int64_t begin, int64_t end) {
            C buffer[kBlock], second[kBlock];
            for (int64_t job = begin; job < end; ++job) {
                const int64_t first = job % chunks * units_of_chunk;
                const auto each_unit = [&](auto&& fn) {
                    for (int64_t unit = first; unit < smaller(first + units_of_chunk, units); ++unit) {
                        const int64_t at = unit % pieces * kBlock;
                        fn(place(job / chunks, unit / pieces), at, smaller(kBlock, inner.size - at));
                    }
                };
                Total sum = 0;
                each_unit([&](Place p, int64_t at, int64_t count) {
                    sum += static_cast<Total>(sum_row(row(p, at, count, buffer, second), count));
                });
                Wide& total = sums[job] = sum;
                if (in_range(sum)) continue;
                total = 0;
                each_unit([&](Place p, int64_t at, int64_t count) {
                    each_wide(p, at, count, [&](int64_t, Wide v) { total += v; });
                });
            }
        });
        finish(sums, chunks, 1);
    }

    // The innermost dimension is kept: sums[kept][chunk][inner].
    void inner_kept() const {
        const int64_t columns = ceil_div(inner.size, kBlock), width = smaller(inner.size, kBlock);
        const int64_t rows_of_chunk = kChunk / width < 64 ? 64 : smaller(kChunk / width, 2048);
        const int64_t chunks = ceil_div(reduced, rows_of_chunk);
        const Scratch room(static_cast<size_t>(kept * chunks * inner.size) * sizeof(Wide), queue);
        Wide* sums = room.as<Wide>();
        const int64_t elements = smaller(reduced, rows_of_chunk) * width;
        parallel_ranges(
            kept * chunks * columns, at_least_one(kChunk / elements), [&](int64_t from, int64_t to) {
                C buffers[4][kBlock], second[kBlock], acc[kBlock];
                for (int64_t job = from; job < to; ++job) {
                    const int64_t slot = job / columns, begin = job % columns * kBlock;
                    const int64_t count = smaller(kBlock, inner.size - begin);
                    Wide* out = sums + slot * inner.size + begin;
                    for (int64_t i = 0; i < count; ++i) acc[i] = C(0);
                    const int64_t first = slot % chunks * rows_of_chunk,
                                  last = smaller(first + rows_of_chunk, reduced);
                    const C* four[4];
                    for (int64_t at = first; at < last; at += 4) {
                        const int64_t n = smaller(4, last - at);
                        for (int64_t k = 0; k < n; ++k)
                            four[k] = row(place(slot / chunks, at + k), begin, count, buffers[k], second);
                        if (n == 4) add_four(acc, four, count);
                        for (int64_t k = 0; n < 4 && k < n; ++k) add_one(acc, four[k], count);
                    }
                    bool finite = true;
                    for (int64_t i = 0; i < count; ++i) {
                        out[i] = static_cast<Wide>(acc[i]);
                        finite = finite && in_range(acc[i]);
                    }
                    if (finite) continue;
                    for (int64_t i = 0; i < count; ++i) out[i] = 0;
                    for (int64_t at = first; at < last; ++at)
                        each_wide(place(slot / chunks, at), begin, count,
                                  [&](int64_t i, Wide v) { out[i] += v; });
                }
            });
        finish(sums, chunks, inner.size);
    }

    // out[i] = scale * sum over chunks of sums[i / width][chunk][i % width].
    void finish(const Wide* sums, int64_t chunks, int64_t width) const {
        const StoreRow<C> store = row_storer<C>(call.out.dtype);
        parallel_ranges(call.out_count, 8192, [&](int64_t begin, int64_t end) {
            C buffer[kBlock];
            for (int64_t from = begin; from < end; from += kBlock) {
                const int64_t to = smaller(end, from + kBlock);
                for (int64_t i = from; i < to; ++i) {
                    const Wide* s = sums + i / width * chunks * width + i % width;
                    const auto total = [&](auto sum) {
                        for (int64_t k = 0; k < chunks; ++k) sum += static_cast<decltype(sum)>(s[k * width]);
                        return sum * static_cast<decltype(sum)>(call.scale);
                    };
                    const Total sum = total(Total{0});
                    buffer[i - from] = static_cast<C>(in_range(sum) ? Wide{sum} : total(Wide{0}));
                }
                store(call.out.data, from, 1, buffer, to - from);
            }
        });
    }
};

void sum(const ReduceSum& call, Queue queue) {
    if (call.out.dtype == DType::f64) return Sum<double>(call, queue).run();
    call.out.dtype == DType::i64 ? Sum<int64_t>(call, queue).run() : Sum<float>(call, queue).run();
}

// ---- maxima ---------------------------------------------------------------------------------------------
// The order of numbers turned around; -x of the smallest integer does not exist.
template <class C> C turned(C x) { return -x; }
int64_t turned(int64_t x) { return ~x; }

template <class C> void max_as(const ReduceMax& call) {
    const int64_t m = call.length;
    const LoadRow<C> load = row_loader<C>(call.x.dtype);
    const StoreRow<C> store = row_storer<C>(call.values.dtype);
    int64_t* index = elements<int64_t>(call.indices);
    parallel_ranges(call.rows, at_least_one(kChunk / m), [&](int64_t from, int64_t to) {
        C buffer[kBlock];
        for (int64_t i = from; i < to; ++i) {
            C best{};
            int64_t where = -1;
            for (int64_t begin = 0; begin < m; begin += kBlock) {
                const int64_t count = smaller(kBlock, m - begin);
                load(buffer, call.x.data, i * m + begin, 1, count);
                for (int64_t k = 0; call.smallest && k < count; ++k) buffer[k] = turned(buffer[k]);
                const C top = max_row(buffer, count);
                const bool nan = !(top == top);
                if (where >= 0 && !nan && !(top > best)) continue;
                best = top;
                int64_t k = 0;
                while (nan ? buffer[k] == buffer[k] : buffer[k] != top) ++k;
                where = begin + k;
                if (nan) break;
            }
            if (call.smallest && best == best) best = turned(best);
            store(call.values.data, i, 1, &best, 1);
            index[i] = where;
        }
    });
}

void max(const ReduceMax& call, Queue) {
    if (call.x.dtype == DType::f64) return max_as<double>(call);
    is_float(call.x.dtype) ? max_as<float>(call) : max_as<int64_t>(call);
}

}  // namespace

const ReduceKernels reduce_kernels{sum, max};

}  // namespace demi::DEMI_BACKEND
