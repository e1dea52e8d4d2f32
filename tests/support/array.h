#pragma once
#include <cmath>
#include <vector>

#include "runtime/tensor.h"

// Array: doubles with a shape, for references written as plainly as possible.
namespace demi::test {

struct Array {
    Shape shape;
    std::vector<double> data;

    Array() = default;
    explicit Array(const Shape& s, double value = 0)
        : shape(s), data(static_cast<size_t>(s.numel()), value) {}
    explicit Array(const Tensor& t) : shape(t.shape()), data(t.to_vector<double>()) {}

    Tensor tensor(DType dtype = DType::f64) const { return Tensor::from(data, shape).to(dtype); }
    int64_t numel() const { return static_cast<int64_t>(data.size()); }
    double& operator[](int64_t i) { return data[static_cast<size_t>(i)]; }
    double operator[](int64_t i) const { return data[static_cast<size_t>(i)]; }
    // a({i, j}): by index; in arrays of one element every index finds it, in dimensions
    // of size 1 too (broadcast).
    double& operator()(const Shape& at) { return data[flat(at)]; }
    double operator()(const Shape& at) const { return data[flat(at)]; }

  private:
    size_t flat(const Shape& at) const {
        int64_t i = 0;
        const int shift = at.rank() - shape.rank();
        for (int d = 0; d < shape.rank(); ++d) i = i * shape[d] + (shape[d] == 1 ? 0 : at[d + shift]);
        return static_cast<size_t>(i);
    }
};

using Arrays = std::vector<Array>;

// Calls fn(index) for every index of `shape`, last dimension fastest.
template <class F> void for_each_index(const Shape& shape, F fn) {
    const int64_t count = shape.numel();
    for (int64_t flat = 0; flat < count; ++flat) {
        Shape at = shape;
        int64_t rest = flat;
        for (int d = shape.rank() - 1; d >= 0; --d) {
            at[d] = rest % shape[d];
            rest /= shape[d];
        }
        fn(at);
    }
}

template <class F> Array map(const Array& a, F f) {
    Array out(a.shape);
    for (int64_t i = 0; i < a.numel(); ++i) out[i] = f(a[i]);
    return out;
}

// Element-wise with broadcasting.
template <class F> Array zip(const Array& a, const Array& b, F f) {
    Array out(broadcast(a.shape, b.shape, "zip"));
    for_each_index(out.shape, [&](const Shape& at) { out(at) = f(a(at), b(at)); });
    return out;
}

}  // namespace demi::test
