#pragma once
// A view of memory as a list of places: the slow, obvious model that views and copies are compared with.
#include <cstdint>
#include <random>
#include <vector>

#include "runtime/tensor.h"

namespace demi::test {

// The place (element offset in the buffer) of every element of a view, in logical order.
inline std::vector<int64_t> places(const Tensor& t) {
    std::vector<int64_t> out;
    if (t.numel() == 0) return out;
    std::vector<int64_t> index(static_cast<size_t>(t.rank()), 0);
    for (;;) {
        int64_t at = t.offset();
        for (int i = 0; i < t.rank(); ++i) at += index[static_cast<size_t>(i)] * t.strides()[i];
        out.push_back(at);
        int dim = t.rank() - 1;
        while (dim >= 0 && ++index[static_cast<size_t>(dim)] == t.shape()[dim])
            index[static_cast<size_t>(dim--)] = 0;
        if (dim < 0) return out;
    }
}

using Random = std::mt19937_64;
inline int64_t below(Random& random, int64_t bound) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(bound));
}

inline Shape random_shape(Random& random, int max_rank = 5) {
    constexpr int64_t sizes[] = {0, 1, 1, 2, 2, 3, 4, 5, 7};
    Shape shape;
    for (int64_t rank = below(random, max_rank + 1); rank > 0; --rank)
        shape.push_back(sizes[random() % 8 == 0 ? below(random, 9) : 1 + below(random, 8)]);
    return shape;
}

// A strided view: slices with steps, permutations and (unless `writable`) expansions of fresh memory.
inline Tensor random_view(Random& random, const Shape& shape, DType dtype, bool writable) {
    Shape memory;
    std::vector<int> order;
    for (int i = 0; i < shape.rank(); ++i) order.insert(order.begin() + below(random, i + 1), i);
    std::vector<int64_t> begins, steps;
    std::vector<bool> expanded;
    for (int i = 0; i < shape.rank(); ++i) {
        const int64_t size = shape[order[static_cast<size_t>(i)]];
        const bool stretch = !writable && size > 0 && random() % 5 == 0;
        begins.push_back(random() % 3 == 0 ? below(random, 3) : 0);
        steps.push_back(random() % 3 == 0 ? 1 + below(random, 3) : 1);
        expanded.push_back(stretch);
        memory.push_back(begins.back() + (stretch ? 1 : size) * steps.back());
    }
    Tensor t = Tensor::zeros(memory, dtype);
    for (int i = 0; i < shape.rank(); ++i) {
        const auto k = static_cast<size_t>(i);
        const int64_t size = shape[order[k]];
        t = t.slice(i, begins[k], begins[k] + (expanded[k] ? 1 : size) * steps[k], steps[k]);
    }
    std::vector<int> back(order.size());
    for (size_t i = 0; i < order.size(); ++i) back[static_cast<size_t>(order[i])] = static_cast<int>(i);
    return t.permute(back).expand(shape);
}

}  // namespace demi::test
