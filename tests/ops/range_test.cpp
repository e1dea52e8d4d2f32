// Element-wise functions and their gradients at the ends of the range: what fits is right, whatever its parts
// are, and NaN comes only where the result is none.
#include <doctest/doctest.h>

#include <cmath>

#include "ops/elementwise/functions.h"
#include "ops/operators.h"
#include "ops/swiglu/swiglu.h"
#include "tests/ops/extremes.h"
#include "tests/support/device.h"

namespace demi::test {
namespace {

constexpr DType kFloats[] = {DType::f32, DType::bf16, DType::f16, DType::f64};

Variable leaf(const std::vector<double>& values, DType dtype) {
    return Variable(Tensor::from(values, {static_cast<int64_t>(values.size())}).to(dtype).to(test_device()),
                    true);
}

// Every value beside every other one.
struct Grid {
    std::vector<std::vector<double>> columns;
    explicit Grid(const std::vector<double>& values, size_t width) : columns(width) {
        size_t rows = 1;
        for (size_t k = 0; k < width; ++k) rows *= values.size();
        for (size_t r = 0; r < rows; ++r) {
            size_t rest = r;
            for (auto& column : columns) {
                column.push_back(values[rest % values.size()]);
                rest /= values.size();
            }
        }
    }
};

// y = fn(x), dx = dy * slope(x, y) with y as it was returned.
struct Unary {
    std::string name;
    std::function<Variable(const Variable&)> fn;
    std::function<Wide(Wide)> value;
    std::function<Wide(Wide x, Wide y)> slope;
    // Of y and of the slope, in units of what is relative elsewhere.
    std::function<Wide(Wide x)> atol = [](Wide) -> Wide { return 0; };
    std::function<Wide(Wide x)> slope_atol = [](Wide) -> Wide { return 0; };
};

void check_unary(const Unary& u) {
    for (DType dtype : kFloats) {
        CAPTURE(u.name);
        CAPTURE(name(dtype));
        const Grid grid(extremes(dtype), 2);
        const Variable x = leaf(grid.columns[0], dtype);
        const Variable y = u.fn(x);
        y.backward(leaf(grid.columns[1], dtype).value());
        const std::vector<double> got = y.value().to_vector<double>();
        std::vector<Wanted> values, grads;
        const Wide one = unit(dtype);
        for (size_t i = 0; i < got.size(); ++i) {
            const Wide a = grid.columns[0][i], dy = grid.columns[1][i], slope = u.slope(a, got[i]);
            values.push_back({u.value(a), one * u.atol(a)});
            // Nothing is wanted of a function that left the range, or whose slope is infinite.
            grads.push_back(
                {std::isfinite(got[i]) ? dy * slope : NAN, one * std::fabs(dy) * u.slope_atol(a)});
        }
        CHECK(near(y.value(), values, unit(dtype)) == "");
        CHECK(near(x.grad(), grads, 2 * unit(dtype)) == "");
    }
}

Wide sigmoid_of(Wide a) { return 1 / (1 + std::exp(-a)); }
Wide cdf(Wide a) { return std::erfc(-a * std::sqrt(Wide(0.5))) / 2; }
Wide density(Wide a) { return std::exp(-a * a / 2) / std::sqrt(8 * std::atan(Wide(1))); }
Wide absolute(Wide) { return 1; }

}  // namespace

TEST_CASE("range: functions that keep their operand") {
    check_unary({"square", square, [](Wide a) { return a * a; }, [](Wide a, Wide) { return 2 * a; }});
    check_unary({"abs", abs, [](Wide a) { return std::fabs(a); },
                 [](Wide a, Wide) -> Wide { return a > 0   ? 1
                                                   : a < 0 ? -1
                                                           : 0; }});
    check_unary({"log", log, [](Wide a) { return std::log(a); }, [](Wide a, Wide) { return 1 / a; }});
    check_unary({"relu", relu, [](Wide a) { return a > 0 ? a : 0; },
                 [](Wide a, Wide) -> Wide { return a > 0 ? 1 : 0; }});
    for (double p : {-7.0, -2.0, -1.0, -0.5, 0.25, 1.0, 1.5, 3.0, 10.0}) {
        CAPTURE(p);
        const Wide w = p;
        check_unary({"pow", [p](const Variable& x) { return pow(x, p); },
                     [w](Wide a) { return std::pow(a, w); },
                     [w](Wide a, Wide) { return w * std::pow(a, w - 1); }});
    }
}

TEST_CASE("range: functions that keep their result") {
    check_unary({"exp", exp, [](Wide a) { return std::exp(a); }, [](Wide, Wide y) { return y; }});
    check_unary(
        {"sqrt", sqrt, [](Wide a) { return std::sqrt(a); }, [](Wide, Wide y) { return 1 / (2 * y); }});
    check_unary({"sigmoid", sigmoid, sigmoid_of, [](Wide, Wide y) { return y * (1 - y); }});
    check_unary({"tanh", tanh, [](Wide a) { return std::tanh(a); }, [](Wide, Wide y) { return 1 - y * y; },
                 [](Wide) -> Wide { return 0; }, absolute});
}

TEST_CASE("range: activations") {
    check_unary({"gelu", gelu, [](Wide a) { return a * cdf(a); },
                 [](Wide a, Wide) { return cdf(a) + a * density(a); }, absolute, absolute});
    // To the last subnormal numbers, relative to the parts of the slope.
    check_unary({"silu", silu, [](Wide a) { return a * sigmoid_of(a); },
                 [](Wide a, Wide) { return sigmoid_of(a) * (1 + a * sigmoid_of(-a)); },
                 [](Wide) -> Wide { return 0; },
                 [](Wide a) { return sigmoid_of(a) * (1 + std::fabs(a) * sigmoid_of(-a)); }});
}

TEST_CASE("range: numbers beside tensors") {
    for (double p : {1e-50, 1e-40, 1e-30, 1e-10, 3.0, 1e10, 1e30, 1e38, 1e50, -1e-45, -1e45}) {
        CAPTURE(p);
        const Wide w = p;
        const auto zero = [](Wide) -> Wide { return 0; };
        check_unary({"x * p", [p](const Variable& x) { return x * p; }, [w](Wide a) { return a * w; },
                     [w](Wide, Wide) { return w; }, zero, zero});
        check_unary({"x / p", [p](const Variable& x) { return x / p; }, [w](Wide a) { return a / w; },
                     [w](Wide, Wide) { return 1 / w; }, zero, zero});
        check_unary({"p / x", [p](const Variable& x) { return p / x; }, [w](Wide a) { return w / a; },
                     [w](Wide a, Wide) { return -(w / a) / a; }, zero, zero});
    }
}

TEST_CASE("range: mul and div") {
    for (DType dtype : kFloats) {
        CAPTURE(name(dtype));
        const Grid grid(extremes(dtype), 3);
        const std::vector<double>&as = grid.columns[0], &bs = grid.columns[1], &dys = grid.columns[2];
        for (const bool divide : {false, true}) {
            CAPTURE(divide);
            const Variable a = leaf(as, dtype), b = leaf(bs, dtype);
            const Variable y = divide ? a / b : a * b;
            y.backward(leaf(dys, dtype).value());
            std::vector<Wanted> values, das, dbs;
            for (size_t i = 0; i < as.size(); ++i) {
                const Wide x = as[i], z = bs[i], dy = dys[i];
                values.push_back({divide ? x / z : x * z});
                das.push_back({divide ? dy / z : dy * z});
                dbs.push_back({divide ? -(dy / z) * x / z : dy * x});
            }
            CHECK(near(y.value(), values, unit(dtype)) == "");
            CHECK(near(a.grad(), das, unit(dtype)) == "");
            CHECK(near(b.grad(), dbs, unit(dtype)) == "");
        }
    }
}

TEST_CASE("range: swiglu") {
    for (DType dtype : kFloats) {
        CAPTURE(name(dtype));
        const Grid grid(extremes(dtype), 3);
        const std::vector<double>&as = grid.columns[0], &bs = grid.columns[1], &dys = grid.columns[2];
        const auto rows = static_cast<int64_t>(as.size());
        std::vector<double> both;
        for (size_t i = 0; i < as.size(); ++i) both.insert(both.end(), {as[i], bs[i]});
        const Variable x(Tensor::from(both, {rows, 2}).to(dtype).to(test_device()), true);
        const Variable y = swiglu(x);
        y.backward(leaf(dys, dtype).value().view({rows, 1}));
        std::vector<Wanted> values, grads;
        for (size_t i = 0; i < as.size(); ++i) {
            const Wide a = as[i], b = bs[i], dy = dys[i], s = sigmoid_of(a), rest = a * sigmoid_of(-a);
            // silu(a) and its slope are rounded before b comes: what they lose below the
            // normal numbers is multiplied.
            const Wide lost = dtype == DType::f64 ? 0x1p-1070 : 0x1p-143, least = 1e3 * smallest(DType::f64);
            values.push_back({a * s * b, lost * std::fabs(b)});
            grads.push_back({dy * b * s * (1 + rest),
                             least + std::fabs(dy * b) * (lost + static_cast<Wide>(unit(dtype)) * s *
                                                                     (1 + std::fabs(rest)))});
            grads.push_back({dy * a * s, lost * std::fabs(dy)});
        }
        CHECK(near(y.value(), values, unit(dtype)) == "");
        CHECK(near(x.grad(), grads, 2 * unit(dtype)) == "");
    }
}

}  // namespace demi::test
