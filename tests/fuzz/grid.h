#pragma once
// Grid: Nums with sizes, row-major, and the loops that references are written with.
#include <cstdint>
#include <functional>
#include <vector>

#include "tests/fuzz/num.h"

namespace demi::fuzz {

using Sizes = std::vector<int64_t>;

inline int64_t count(const Sizes& sizes) {
    int64_t n = 1;
    for (int64_t size : sizes) n *= size;
    return n;
}

// Calls fn(index) for every index, the last dimension fastest.
template <class F> void every(const Sizes& sizes, F fn) {
    Sizes at(sizes.size(), 0);
    for (int64_t n = count(sizes); n > 0; --n) {
        fn(static_cast<const Sizes&>(at));
        for (size_t d = sizes.size(); d-- > 0;) {
            if (++at[d] < sizes[d]) break;
            at[d] = 0;
        }
    }
}

struct Grid {
    Sizes sizes;
    std::vector<Num> nums;

    Grid() = default;
    explicit Grid(Sizes s, Num fill = {})
        : sizes(std::move(s)), nums(static_cast<size_t>(count(sizes)), fill) {}

    int64_t size(int dim) const {
        return sizes[static_cast<size_t>(dim < 0 ? dim + int(sizes.size()) : dim)];
    }
    size_t rank() const { return sizes.size(); }
    // By an index of the same or a higher rank, aligned at the last dimension; sizes of 1 stretch.
    Num& operator()(const Sizes& at) { return nums[place(at)]; }
    const Num& operator()(const Sizes& at) const { return nums[place(at)]; }

  private:
    size_t place(const Sizes& at) const {
        const size_t skip = at.size() - sizes.size();
        int64_t i = 0;
        for (size_t d = 0; d < sizes.size(); ++d) i = i * sizes[d] + (sizes[d] == 1 ? 0 : at[d + skip]);
        return static_cast<size_t>(i);
    }
};

using Grids = std::vector<Grid>;

inline Sizes stretched(const Sizes& a, const Sizes& b) {
    Sizes out = a.size() > b.size() ? a : b;
    for (size_t k = 1; k <= out.size(); ++k) {
        const int64_t x = k <= a.size() ? a[a.size() - k] : 1, y = k <= b.size() ? b[b.size() - k] : 1;
        out[out.size() - k] = x == 1 ? y : x;
    }
    return out;
}

template <class F> Grid each(const Grid& a, F f) {
    Grid out(a.sizes);
    for (size_t i = 0; i < out.nums.size(); ++i) out.nums[i] = f(a.nums[i]);
    return out;
}

template <class F> Grid each(const Grid& a, const Grid& b, F f) {
    Grid out(stretched(a.sizes, b.sizes));
    every(out.sizes, [&](const Sizes& at) { out(at) = f(a(at), b(at)); });
    return out;
}

// A grid of these sizes whose element at an index is x's at source(index).
template <class F> Grid moved(const Grid& x, const Sizes& sizes, F source) {
    Grid out(sizes);
    every(sizes, [&](const Sizes& at) { out(at) = x(source(at)); });
    return out;
}

// Replaces each line along `dim` by fn(line).
template <class F> Grid lines(const Grid& x, size_t dim, F fn) {
    Grid out(x.sizes);
    Sizes others = x.sizes;
    others[dim] = 1;
    if (count(x.sizes) == 0) return out;
    every(others, [&](Sizes at) {
        std::vector<Num> line;
        for (at[dim] = 0; at[dim] < x.sizes[dim]; ++at[dim]) line.push_back(x(at));
        line = fn(line);
        for (at[dim] = 0; at[dim] < x.sizes[dim]; ++at[dim]) out(at) = line[static_cast<size_t>(at[dim])];
    });
    return out;
}

}  // namespace demi::fuzz
