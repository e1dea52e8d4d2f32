#pragma once
// A handful of ops made through record(), all f64 and slow: what the tests of the graph compute with.
#include <cmath>
#include <functional>
#include <vector>

#include "autograd/record.h"
#include "runtime/copy.h"

namespace demi::test {

using Unary = std::function<double(double)>;
using Binary = std::function<double(double, double)>;

inline Tensor map(const Tensor& a, const Unary& f) {
    std::vector<double> x = a.to_vector<double>();
    for (double& v : x) v = f(v);
    return Tensor::from(x, a.shape());
}
inline Tensor map(const Tensor& a, const Tensor& b, const Binary& f) {
    std::vector<double> x = a.to_vector<double>();
    const std::vector<double> y = b.to_vector<double>();
    for (size_t i = 0; i < x.size(); ++i) x[i] = f(x[i], y[i]);
    return Tensor::from(x, a.shape());
}
inline Tensor vec(std::vector<double> values) {
    const auto n = static_cast<int64_t>(values.size());
    return Tensor::from(values, {n});
}
inline Variable leaf(std::vector<double> values) { return Variable(vec(std::move(values)), true); }
inline std::vector<double> values(const Tensor& t) { return t.to_vector<double>(); }
inline std::vector<double> grad(const Variable& v) {
    return v.grad().defined() ? values(v.grad()) : std::vector<double>{};
}

inline Variable mul(const Variable& a, const Variable& b) {
    Tensor y = map(a.value(), b.value(), [](double x, double z) { return x * z; });
    return record("mul", {a, b}, y, [x = Saved(a), z = Saved(b)](const Tensor& dy, const Needs& needs) {
        Tensors out(2);
        const Binary times = [](double p, double q) { return p * q; };
        if (needs[0]) out[0] = map(dy, z.get(), times);
        if (needs[1]) out[1] = map(dy, x.get(), times);
        return out;
    });
}
// The gradient is the same Tensor for both inputs, which is what a real add would do.
inline Variable add(const Variable& a, const Variable& b) {
    Tensor y = map(a.value(), b.value(), [](double x, double z) { return x + z; });
    return record("add", {a, b}, y, [](const Tensor& dy, const Needs&) { return Tensors{dy, dy}; });
}
inline Variable scale(const Variable& a, double k) {
    Tensor y = map(a.value(), [k](double x) { return k * x; });
    return record("scale", {a}, y, [k](const Tensor& dy, const Needs&) {
        return Tensors{map(dy, [k](double d) { return k * d; })};
    });
}
// Passes its gradient on untouched: cheap enough for a million of them.
inline Variable pass(const Variable& a) {
    return record("pass", {a}, a.value(), [](const Tensor& dy, const Needs&) { return Tensors{dy}; });
}
// The gradient is expanded: stride 0.
inline Variable sum(const Variable& a) {
    double total = 0;
    for (double x : values(a.value())) total += x;
    return record("sum", {a}, Tensor::full({}, total, DType::f64),
                  [shape = a.shape()](const Tensor& dy, const Needs&) { return Tensors{dy.expand(shape)}; });
}
// Two outputs: the first n elements and the rest.
inline std::vector<Variable> split(const Variable& a, int64_t n, std::vector<bool>* got = nullptr) {
    const Tensor x = a.value();
    return record("split", {a}, Tensors{x.slice(0, 0, n).clone(), x.slice(0, n, x.size(0)).clone()},
                  [n, shape = a.shape(), got](std::span<const Tensor> dy, const Needs&) {
                      Tensor dx = Tensor::zeros(shape, DType::f64);
                      if (got) *got = {dy[0].defined(), dy[1].defined()};
                      if (dy[0].defined()) copy(dx.slice(0, 0, n), dy[0]);
                      if (dy[1].defined()) copy(dx.slice(0, n, shape[0]), dy[1]);
                      return Tensors{dx};
                  });
}

}  // namespace demi::test
