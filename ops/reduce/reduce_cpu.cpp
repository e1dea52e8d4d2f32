// Reductions in an order that depends on the shape only: the dimensions are merged to alternating groups
// (kept, reduced, kept, ...), the work is cut into chunks of fixed size, and the chunks' sums are added in
// order. A chunk whose sum is not finite is added once more in a wider type, for the result may fit though
// its parts do not.
#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/common/row_io.h"
#include "ops/reduce/reduce_isa.h"
#include "ops/reduce/reduce_kernels.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace demi {

DEMI_ISA_TABLE(ReduceIsa, reduce_isa)

namespace {

constexpr int64_t kBlock = 1024;   // elements summed in f32, or columns handled at a time
constexpr int64_t kChunk = 32768;  // elements of one tile

struct Group {
    int64_t size, x_step, y_step;
    bool reduced;
};

// False where a group is not evenly strided in x or y.
bool merge_groups(const Shape& out, const Tensor& x, const Tensor& y, std::vector<Group>& groups) {
    groups.clear();
    for (int d = 0; d < x.rank(); ++d) {
        if (x.shape()[d] == 1) continue;
        const int64_t xs = x.strides()[d], ys = y.defined() ? y.strides()[d] : 0;
        const bool reduced = out[d] == 1;
        if (groups.empty() || groups.back().reduced != reduced) {
            groups.push_back({x.shape()[d], xs, ys, reduced});
            continue;
        }
        Group& last = groups.back();
        if (last.x_step != xs * x.shape()[d] || last.y_step != ys * x.shape()[d]) return false;
        last = {last.size * x.shape()[d], xs, ys, reduced};
    }
    return true;
}

// What sums of blocks are added in; integers wrap around.
template <class C> using Total = std::conditional_t<std::is_same_v<C, int64_t>, uint64_t, double>;
inline bool in_range(double sum) { return std::isfinite(sum); }
inline bool in_range(uint64_t) { return true; }

struct Place {
    int64_t x = 0, y = 0;
};

template <class C> struct WiderThan { typedef double type; };
template <> struct WiderThan<double> { typedef long double type; };
template <> struct WiderThan<int64_t> { typedef uint64_t type; };

template <class C> struct Sum {
    typedef typename WiderThan<C>::type Wide;
    const ReduceRows<C>& rows;
    std::vector<Group> outer;  // without the innermost group
    Group inner{1, 0, 0, true};
    int64_t kept = 1, reduced = 1;  // numbers of outer index combinations
    const void *x_base, *y_base;
    LoadRow<C> load_x, load_y;
    bool x_in_place, y_in_place;

    Sum(const ReduceRows<C>& table, const std::vector<Group>& groups, const Tensor& x, const Tensor& y)
        : rows(table), outer(groups), x_base(x.raw()), y_base(y.defined() ? y.raw() : nullptr),
          load_x(row_loader<C>(x.dtype())), load_y(y.defined() ? row_loader<C>(y.dtype()) : nullptr) {
        if (!outer.empty()) {
            inner = outer.back();
            outer.pop_back();
        }
        for (const Group& g : outer) (g.reduced ? reduced : kept) *= g.size;
        x_in_place = x.dtype() == dtype_of<C> && (inner.x_step == 1 || inner.size == 1);
        y_in_place = y.defined() && y.dtype() == dtype_of<C> && (inner.y_step == 1 || inner.size == 1);
    }

    Place place(int64_t kept_at, int64_t reduced_at) const {
        Place p;
        for (size_t i = outer.size(); i-- > 0;) {
            int64_t& rest = outer[i].reduced ? reduced_at : kept_at;
            if (rest == 0) continue;
            const int64_t at = rest < outer[i].size ? rest : rest % outer[i].size;
            rest = rest < outer[i].size ? 0 : rest / outer[i].size;
            p.x += at * outer[i].x_step;
            p.y += at * outer[i].y_step;
        }
        return p;
    }

    // Elements [begin, begin + count) of the inner group, multiplied where there is a y; count <= kBlock.
    const C* row(Place p, int64_t begin, int64_t count, C* buffer, C* second) const {
        const C* a = operand(x_base, load_x, x_in_place, p.x, inner.x_step, begin, count, buffer);
        if (!y_base) return a;
        const C* b = operand(y_base, load_y, y_in_place, p.y, inner.y_step, begin, count, second);
        rows.multiply(buffer, a, b, count);
        return buffer;
    }
    static const C* operand(const void* base, LoadRow<C> load, bool in_place, int64_t at, int64_t step,
                            int64_t begin, int64_t count, C* buffer) {
        if (in_place) return static_cast<const C*>(base) + at + begin;
        if (step == 0) {
            load(buffer, base, at, 1, 1);
            std::fill_n(buffer + 1, count - 1, buffer[0]);
        } else {
            load(buffer, base, at + begin * step, step, count);
        }
        return buffer;
    }

    // fn(i, element) for the same elements in the wider type.
    template <class F> void each_wide(Place p, int64_t begin, int64_t count, F&& fn) const {
        C buffer[kBlock], second[kBlock];
        const C* a = operand(x_base, load_x, x_in_place, p.x, inner.x_step, begin, count, buffer);
        const C* b =
            y_base ? operand(y_base, load_y, y_in_place, p.y, inner.y_step, begin, count, second) : nullptr;
        for (int64_t i = 0; i < count; ++i)
            fn(i, static_cast<Wide>(a[i]) * (b ? static_cast<Wide>(b[i]) : Wide{1}));
    }

    // The innermost dimension is reduced: sums[kept][chunk]; returns the number of chunks.
    int64_t inner_reduced(std::vector<Wide>& sums) const {
        const int64_t pieces = ceil_div(inner.size, kBlock), units = reduced * pieces;
        const int64_t units_of_chunk = std::max<int64_t>(1, kChunk / std::min(inner.size, kBlock));
        const int64_t chunks = ceil_div(units, units_of_chunk);
        sums.resize(static_cast<size_t>(kept * chunks));
        const int64_t elements = std::min(units, units_of_chunk) * std::min(inner.size, kBlock);
        parallel_ranges(
            kept * chunks, std::max<int64_t>(1, kChunk / elements), [&](int64_t begin, int64_t end) {
                C buffer[kBlock], second[kBlock];
                for (int64_t job = begin; job < end; ++job) {
                    const int64_t first = job % chunks * units_of_chunk;
                    const auto each_unit = [&](auto&& fn) {
                        for (int64_t unit = first; unit < std::min(first + units_of_chunk, units); ++unit) {
                            const int64_t at = unit % pieces * kBlock;
                            fn(place(job / chunks, unit / pieces), at, std::min(kBlock, inner.size - at));
                        }
                    };
                    Total<C> sum = 0;
                    each_unit([&](Place p, int64_t at, int64_t count) {
                        sum += static_cast<Total<C>>(rows.sum(row(p, at, count, buffer, second), count));
                    });
                    Wide& total = sums[static_cast<size_t>(job)] = sum;
                    if (in_range(sum)) continue;
                    total = 0;
                    each_unit([&](Place p, int64_t at, int64_t count) {
                        each_wide(p, at, count, [&](int64_t, Wide v) { total += v; });
                    });
                }
            });
        return chunks;
    }

    // The innermost dimension is kept: sums[kept][chunk][inner].
    int64_t inner_kept(std::vector<Wide>& sums) const {
        const int64_t columns = ceil_div(inner.size, kBlock), width = std::min(inner.size, kBlock);
        const int64_t rows_of_chunk = std::clamp<int64_t>(kChunk / width, 64, 2048);
        const int64_t chunks = ceil_div(reduced, rows_of_chunk);
        sums.resize(static_cast<size_t>(kept * chunks * inner.size));
        const int64_t elements = std::min(reduced, rows_of_chunk) * width;
        parallel_ranges(
            kept * chunks * columns, std::max<int64_t>(1, kChunk / elements), [&](int64_t from, int64_t to) {
                C buffers[4][kBlock], second[kBlock], acc[kBlock];
                for (int64_t job = from; job < to; ++job) {
                    const int64_t slot = job / columns, begin = job % columns * kBlock;
                    const int64_t count = std::min(kBlock, inner.size - begin);
                    Wide* out = sums.data() + slot * inner.size + begin;
                    std::fill_n(acc, count, C(0));
                    const int64_t first = slot % chunks * rows_of_chunk,
                                  last = std::min(first + rows_of_chunk, reduced);
                    const C* four[4];
                    for (int64_t at = first; at < last; at += 4) {
                        const int64_t n = std::min<int64_t>(4, last - at);
                        for (int64_t k = 0; k < n; ++k)
                            four[k] = row(place(slot / chunks, at + k), begin, count, buffers[k], second);
                        if (n == 4) {
                            rows.add_four(acc, four, count);
                        } else {
                            for (int64_t k = 0; k < n; ++k) rows.add_one(acc, four[k], count);
                        }
                    }
                    std::copy_n(acc, count, out);
                    if (std::all_of(acc, acc + count, [](C v) { return std::isfinite(v); })) continue;
                    std::fill_n(out, count, Wide{0});
                    for (int64_t at = first; at < last; ++at)
                        each_wide(place(slot / chunks, at), begin, count,
                                  [&](int64_t i, Wide v) { out[i] += v; });
                }
            });
        return chunks;
    }
};

// out[i] = scale * sum over chunks of sums[i / width][chunk][i % width].
template <class C, class Wide>
void finish(Tensor& out, const std::vector<Wide>& sums, int64_t chunks, int64_t width, double scale) {
    const StoreRow<C> store = row_storer<C>(out.dtype());
    void* base = out.mutable_raw();
    parallel_ranges(out.numel(), 8192, [&](int64_t begin, int64_t end) {
        C buffer[kBlock];
        for (int64_t from = begin; from < end; from += kBlock) {
            const int64_t to = std::min(end, from + kBlock);
            for (int64_t i = from; i < to; ++i) {
                const Wide* s = sums.data() + i / width * chunks * width + i % width;
                const auto total = [&](auto sum) {
                    for (int64_t k = 0; k < chunks; ++k) sum += static_cast<decltype(sum)>(s[k * width]);
                    return sum * static_cast<decltype(sum)>(scale);
                };
                const Total<C> sum = total(Total<C>{0});
                buffer[i - from] = static_cast<C>(in_range(sum) ? Wide{sum} : total(Wide{0}));
            }
            store(base, from, 1, buffer, to - from);
        }
    });
}

template <class C> void sum_as(const ReduceRows<C>& table, Tensor& out, Tensor x, Tensor y, double scale) {
    std::vector<Group> groups;
    if (!merge_groups(out.shape(), x, y, groups)) {
        x = x.contiguous();
        if (y.defined()) y = y.contiguous();
        merge_groups(out.shape(), x, y, groups);
    }
    const Sum<C> sum(table, groups, x, y);
    std::vector<typename Sum<C>::Wide> sums;
    const int64_t chunks = sum.inner.reduced ? sum.inner_reduced(sums) : sum.inner_kept(sums);
    finish<C>(out, sums, chunks, sum.inner.reduced ? 1 : sum.inner.size, scale);
}

void sum(Tensor& out, const Tensor& x, const Tensor& y, double scale) {
    const ReduceIsa& table = reduce_isa();
    switch (out.dtype()) {
    case DType::f64: return sum_as(table.f64, out, x, y, scale);
    case DType::i64: return sum_as(table.i64, out, x, y, scale);
    default: return sum_as(table.f32, out, x, y, scale);
    }
}

// The order of numbers turned around; -x of the smallest integer does not exist.
float turned(float x) { return -x; }
double turned(double x) { return -x; }
int64_t turned(int64_t x) { return ~x; }

template <class C>
void max_as(const ReduceRows<C>& table, Tensor& values, Tensor& indices, const Tensor& x, bool smallest) {
    const int64_t n = x.size(0), m = x.size(1);
    const LoadRow<C> load = row_loader<C>(x.dtype());
    const StoreRow<C> store = row_storer<C>(values.dtype());
    const void* base = x.raw();
    void* out = values.mutable_raw();
    int64_t* index = indices.mutable_data<int64_t>();
    parallel_ranges(n, std::max<int64_t>(1, kChunk / m), [&](int64_t from, int64_t to) {
        C buffer[kBlock];
        for (int64_t i = from; i < to; ++i) {
            C best{};
            int64_t where = -1;
            for (int64_t begin = 0; begin < m; begin += kBlock) {
                const int64_t count = std::min(kBlock, m - begin);
                load(buffer, base, i * m + begin, 1, count);
                if (smallest) std::transform(buffer, buffer + count, buffer, [](C v) { return turned(v); });
                const C top = table.max(buffer, count);
                const bool nan = !(top == top);
                if (where >= 0 && !nan && !(top > best)) continue;
                best = top;
                int64_t k = 0;
                while (nan ? buffer[k] == buffer[k] : buffer[k] != top) ++k;
                where = begin + k;
                if (nan) break;
            }
            if (smallest && best == best) best = turned(best);
            store(out, i, 1, &best, 1);
            index[i] = where;
        }
    });
}

void max(Tensor& values, Tensor& indices, const Tensor& x, bool smallest) {
    const ReduceIsa& table = reduce_isa();
    if (x.dtype() == DType::f64) return max_as(table.f64, values, indices, x, smallest);
    is_float(x.dtype()) ? max_as(table.f32, values, indices, x, smallest)
                        : max_as(table.i64, values, indices, x, smallest);
}

}  // namespace

const ReduceKernels reduce_cpu{sum, max};

}  // namespace demi
