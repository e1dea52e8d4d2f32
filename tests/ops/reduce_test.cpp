// sum, mean, max, min, argmax, argmin, count_equal.
#include <doctest/doctest.h>

#include <algorithm>
#include <climits>
#include <numeric>
#include <random>

#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "ops/views/dims.h"
#include "tests/ops/extremes.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/op_case.h"

namespace demi::test {
namespace {

using Reduce = Variable (*)(const Variable&, const Dims&, bool);

// fold(values of one output element, in order) -> double
template <class F> Array reduce_reference(const Array& x, const Dims& dims, bool keepdim, F fold) {
    const Shape kept = keep_reduced("test", x.shape, dims);
    std::vector<std::vector<double>> groups(static_cast<size_t>(kept.numel()));
    for_each_index(x.shape, [&](const Shape& at) {
        int64_t flat = 0;
        for (int d = 0; d < kept.rank(); ++d) flat = flat * kept[d] + (kept[d] == 1 ? 0 : at[d]);
        groups[static_cast<size_t>(flat)].push_back(x(at));
    });
    Array y(keepdim ? kept : drop_reduced(x.shape, dims));
    for (int64_t i = 0; i < y.numel(); ++i) y[i] = fold(groups[static_cast<size_t>(i)]);
    return y;
}

double sum_of(const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); }

struct Which {
    std::vector<Shape> shapes;
    Dims dims;
};
const std::vector<Which> kCases = {
    {{{}, {1}, {33}, {2, 3, 5}, {300, 257}}, {}},
    {{{3, 5}, {1, 7}, {7, 1}, {4, 1500}, {2, 9000}, {300, 257}}, {-1}},
    {{{3, 5}, {1, 7}, {7, 1}, {5, 1100}, {700, 5}, {300, 257}}, {0}},
    {{{2, 3, 5}, {3, 70, 300}}, {1}},
    {{{2, 3, 5}, {40, 3, 300}}, {0, 2}},
    {{{2, 3, 5}, {3, 70, 300}}, {-1, 1}},
    {{{2, 3, 4, 5}}, {0, 2}},
    {{{2, 3, 4, 5}}, {1, 3}},
};

// change(case): what a reduction asks for beside these.
template <class F, class Change> void check_all(std::string op, Reduce fn, F fold, const Change& change) {
    for (const Which& which : kCases)
        for (const bool keepdim : {false, true}) {
            if (emulated() && keepdim) continue;  // slow there
            OpCase c;
            c.op = op;
            for (const Shape& shape : which.shapes) c.shapes.push_back({shape});
            c.fn = [fn, which, keepdim](const Vars& x) { return fn(x[0], which.dims, keepdim); };
            c.reference = [=](const Arrays& x) -> Arrays {
                return {reduce_reference(x[0], which.dims, keepdim, fold)};
            };
            change(c);
            check_op(c);
        }
}

template <class F> void check_reduce(std::string op, Reduce fn, F fold, bool empty, double factor) {
    check_all(op, fn, fold, [&](OpCase& c) {
        if (empty && c.shapes[0][0].rank() == 0) c.shapes.push_back({Shape{0, 3}});  // of all dimensions
        c.factor = factor;
    });
}

}  // namespace

TEST_CASE("sum") {
    check_reduce("sum", sum, sum_of, true, 4);
    CHECK(sum(Tensor::zeros({0, 3}), {0}).value().to_vector<float>() == std::vector<float>{0, 0, 0});
    CHECK(sum(Tensor::zeros({3, 0}), {0}).shape() == Shape{0});
    // 2^24 ones: adding one by one in f32 would stop there
    CHECK(sum(Tensor::full({1}, 1).expand({20000000})).item() == 2e7);
    CHECK(sum(Tensor::full({1, 1}, 1).expand({20000000, 2}), {0}).value().to_vector<float>() ==
          std::vector<float>{2e7, 2e7});
}

TEST_CASE("mean") {
    check_reduce(
        "mean", mean, [](const std::vector<double>& v) { return sum_of(v) / static_cast<double>(v.size()); },
        false, 2);
    CHECK(mean(Tensor::full({1000}, 60000, DType::f16)).item() == 60000);  // the sum would overflow
}

TEST_CASE("mean of nothing is NaN, and its gradient has no elements") {
    for (const Dims& dims : {Dims{}, Dims{1}, Dims{0, 1}}) {
        const Variable x(Tensor::zeros({2, 0}, DType::f32, test_device()), true);
        const Variable y = mean(x, dims);
        for (double v : y.value().to_vector<double>()) CHECK(std::isnan(v));
        y.backward(Tensor::full(y.shape(), 1, DType::f32, test_device()));
        CHECK(x.grad().shape() == Shape{2, 0});
    }
    CHECK(mean(Tensor::zeros({0, 3}, DType::f32, test_device()), {1}).shape() == Shape{0});
}

TEST_CASE("sums whose parts leave the range") {
    // Largest numbers that cancel but for one of them.
    for (DType dtype : {DType::f32, DType::bf16, DType::f64})
        for (int64_t count : {4, 500, 3000, 70000})
            for (int64_t others : {1, 5})
                for (const bool last : {true, false}) {
                    CAPTURE(name(dtype));
                    CAPTURE(count + (last ? 0.5 : 0));
                    if (emulated() && count > 10000) continue;
                    const double top = largest(dtype) / 4;
                    std::vector<double> values(static_cast<size_t>(count * others), 0.0);
                    for (int64_t k = 0; k < others; ++k)
                        for (int64_t i = 0; i < count; ++i) {
                            const int64_t at = last ? k * count + i : i * others + k;
                            values[static_cast<size_t>(at)] = i == 1 ? 0 : i < count / 2 ? top : -top;
                        }
                    const Shape shape = last ? Shape{others, count} : Shape{count, others};
                    const Dims dims{last ? 1 : 0};
                    const Tensor x = Tensor::from(values, shape).to(dtype).to(test_device());
                    const Tensor ones = Tensor::full(shape, 1, dtype, test_device());
                    for (double v : sum(x, dims).value().to_vector<double>())
                        CHECK(v == doctest::Approx(-top));
                    for (double v : mean(x, dims).value().to_vector<double>())
                        CHECK(v == doctest::Approx(-top / static_cast<double>(count)).epsilon(0.005));
                    const Tensor full = Tensor::full(shape, top, dtype, test_device());
                    for (double v : mean(full, dims).value().to_vector<double>())
                        CHECK(v == doctest::Approx(top).epsilon(1e-6));
                    // Products: the gradient of a broadcast factor.
                    const Variable factor(
                        Tensor::full(last ? Shape{others, 1} : Shape{1, others}, 1, dtype, test_device()),
                        true);
                    (Variable(x) * factor).backward(ones);
                    for (double v : factor.grad().to_vector<double>()) CHECK(v == doctest::Approx(-top));
                }
}

template <class F> void check_extreme(std::string op, Reduce fn, F fold) {
    check_all(op, fn, fold, [](OpCase& c) {
        c.prepare = [](Arrays& x) {  // whole numbers, all different and exact in f32
            for (int64_t i = 0; i < x[0].numel(); ++i)
                x[0][i] = static_cast<double>((i * 7919 + 13) % std::max<int64_t>(x[0].numel(), 1)) / 8;
        };
        c.dtypes = {DType::f32, DType::f64};
    });
}

double largest_of(const std::vector<double>& v) { return *std::max_element(v.begin(), v.end()); }
double smallest_of(const std::vector<double>& v) { return *std::min_element(v.begin(), v.end()); }

TEST_CASE("max and min") {
    check_extreme("max", max, largest_of);
    check_extreme("min", min, smallest_of);
    const Variable x(Tensor::from(std::vector<float>{1, 5, 5, 2, 3, 3}, {2, 3}), true);
    max(x, {1}).backward(Tensor::from(std::vector<float>{10, 20}, {2}));
    CHECK(x.grad().to_vector<float>() == std::vector<float>{0, 10, 0, 0, 20, 0});  // to the first of equals
    CHECK_THROWS_WITH_AS(max(Tensor::zeros({2, 0}), {1}),
                         "[max] needs at least one element to compare: got (2, 0)", Error);
    CHECK(max(Tensor::zeros({0, 2}), {1}).shape() == Shape{0});
    const float nan = std::nanf("");
    const Variable n(Tensor::from(std::vector<float>{1, nan, 7, nan}, {4}), true);
    CHECK(std::isnan(max(n).item()));
    CHECK(max(Tensor::full({2000}, -INFINITY)).item() == -INFINITY);
    CHECK(std::isnan(min(n).item()));
    min(x, 0).backward(Tensor::from(std::vector<float>{1, 2, 3}, {3}));
    CHECK(x.grad().to_vector<float>() == std::vector<float>{1, 10, 0, 0, 22, 3});
    CHECK_THROWS_WITH_AS(min(Variable()), "[min] x must be a defined tensor", Error);
}

TEST_CASE("argmax, argmin and count_equal") {
    const float nan = std::nanf("");
    const Tensor x = Tensor::from(std::vector<float>{1, 5, 5, 2, 3, 3, -1, nan, 9}, {3, 3});
    CHECK(argmax(x).to_vector<int64_t>() == std::vector<int64_t>{1, 1, 1});
    CHECK(argmax(x, 0).to_vector<int64_t>() == std::vector<int64_t>{1, 2, 2});
    CHECK(argmin(x).to_vector<int64_t>() == std::vector<int64_t>{0, 0, 1});
    CHECK(argmin(x, 0).to_vector<int64_t>() == std::vector<int64_t>{2, 2, 1});
    CHECK(argmax(x.transpose(0, 1), -1).to_vector<int64_t>() == std::vector<int64_t>{1, 2, 2});
    Tensor wide = Tensor::zeros({2, 5000}, DType::bf16);
    wide.select(0, 1).slice(0, 4321, 4322).mutable_data<BFloat16>()[0] = BFloat16(1);
    CHECK(argmax(wide).to_vector<int64_t>() == std::vector<int64_t>{0, 4321});
    CHECK(argmax(x).shape() == Shape{3});
    CHECK_THROWS_WITH_AS(argmax(x, 2), "[argmax] dimension must be in [-2, 2): got 2", Error);
    const Tensor a = Tensor::arange(5), b = Tensor::from(std::vector<int32_t>{0, 1, 9, 3, 9}, {5});
    CHECK(count_equal(a, b) == 3);
    CHECK_THROWS_WITH_AS(count_equal(a, x), doctest::Contains("[count_equal] needs two integer tensors"),
                         Error);
}

TEST_CASE("reductions refuse bad dimensions") {
    const Tensor x = Tensor::zeros({2, 3});
    CHECK_THROWS_WITH_AS(sum(x, {2}), "[sum] dimension must be in [-2, 2): got 2", Error);
    CHECK_THROWS_WITH_AS(sum(x, {1, -1}), "[sum] dimension -1 is named twice", Error);
    CHECK_THROWS_WITH_AS(
        mean(Tensor::zeros({2}, DType::i32)),
        "[mean] needs a floating-point tensor, which cast(x, DType::f32) makes: got i32 (2,) on cpu", Error);
    CHECK_THROWS_WITH_AS(mean(Tensor::zeros({2}, DType::boolean)), doctest::Contains("cast(x, DType::f32)"),
                         Error);
    CHECK_THROWS_WITH_AS(sum(Variable(), 0), "[sum] x must be a defined tensor", Error);
    CHECK_THROWS_AS(mean(Variable()), Error);
    CHECK_THROWS_WITH_AS(max(Tensor(), -1), "[max] x must be a defined tensor", Error);
    CHECK_THROWS_WITH_AS(argmin(Tensor()), "[argmin] x must be a defined tensor", Error);
    CHECK_THROWS_AS(sum(x, INT_MAX), Error);
    CHECK_THROWS_AS(sum(x, {INT_MIN}), Error);
    const Tensor huge = Tensor::zeros({0, INT64_C(1) << 62, 4});
    CHECK_THROWS_AS(sum(huge, 0), Error);
    CHECK_THROWS_AS(max(huge, {1, 2}), Error);
    CHECK_THROWS_AS(mean(huge, {1, 2}), Error);
    CHECK(sum(huge, {1, 2}).shape() == Shape{0});
}

TEST_CASE("reductions take one dimension, several or none") {
    const Variable x(Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 7}, {2, 3}), true);
    using Floats = std::vector<float>;
    CHECK(sum(x, 0).value().to_vector<float>() == Floats{5, 7, 10});
    CHECK(sum(x, -1).value().to_vector<float>() == Floats{6, 16});
    CHECK(sum(x, {0, 1}).item() == 22);
    CHECK(sum(x, {}).item() == 22);
    CHECK(sum(x, {}, true).shape() == Shape{1, 1});
    CHECK(mean(x, -1).value().to_vector<float>()[0] == 2);
    CHECK(max(x, 0, true).shape() == Shape{1, 3});
    CHECK(min(x, 1).value().to_vector<float>() == Floats{1, 4});
    CHECK(sum(Tensor::full({4, 2}, 1), 0).shape() == Shape{2});
}

// Against exact ones. Sums wrap around at 64 bits.
void check_integers(const Tensor& x, const Dims& dims) {
    const Shape kept = keep_reduced("test", x.shape(), dims);
    const auto count = static_cast<size_t>(kept.numel());
    std::vector<uint64_t> sums(count);
    std::vector<std::vector<int64_t>> groups(count);
    const std::vector<int64_t> values = x.to_vector<int64_t>();
    size_t next = 0;
    for_each_index(x.shape(), [&](const Shape& at) {
        size_t flat = 0;
        for (int d = 0; d < kept.rank(); ++d)
            flat = flat * static_cast<size_t>(kept[d]) + static_cast<size_t>(kept[d] == 1 ? 0 : at[d]);
        sums[flat] += static_cast<uint64_t>(values[next]);
        groups[flat].push_back(values[next++]);
    });
    const Variable total = sum(x, dims, true);
    CHECK(total.dtype() == DType::i64);
    CHECK(total.shape() == kept);
    CHECK(total.value().to_vector<int64_t>() == std::vector<int64_t>(sums.begin(), sums.end()));
    if (x.numel() == 0) return;
    std::vector<int64_t> high, low, high_at, low_at;
    for (const std::vector<int64_t>& group : groups) {
        const auto [bottom, top] = std::minmax_element(group.begin(), group.end());
        high.push_back(*top);
        low.push_back(*bottom);
        high_at.push_back(std::max_element(group.begin(), group.end()) - group.begin());  // the first
        low_at.push_back(bottom - group.begin());
    }
    CHECK(max(x, dims).dtype() == x.dtype());
    CHECK(max(x, dims).value().to_vector<int64_t>() == high);
    CHECK(min(x, dims).value().to_vector<int64_t>() == low);
    if (dims.size() != 1) return;
    CHECK(argmax(x, dims[0]).to_vector<int64_t>() == high_at);
    CHECK(argmin(x, dims[0]).to_vector<int64_t>() == low_at);
}

TEST_CASE("reductions of integers and bool are exact") {
    std::mt19937_64 random(11);
    const int64_t rows = emulated() ? 520 : 2500, width = emulated() ? 3 : 33;
    const int64_t columns = emulated() ? 8200 : 70000;
    for (const DType dtype : {DType::i64, DType::i32, DType::u8, DType::boolean})
        for (const Shape& shape :
             {Shape{}, Shape{7}, Shape{3, 5, 2}, Shape{rows, width}, Shape{2, columns}, Shape{0, 3}}) {
            std::vector<int64_t> values(static_cast<size_t>(shape.numel()));
            for (int64_t& v : values) v = static_cast<int64_t>(random()) >> (random() % 64);
            const Tensor x = Tensor::from(values, shape).to(dtype).to(test_device());
            Shape wide = shape;
            wide.insert(0, 3);
            std::vector<Tensor> layouts{x, strided_like(x, 0), strided_like(x, 1),
                                        x.unsqueeze(0).expand(wide)};
            if (emulated() && x.numel() > 100) layouts.resize(dtype == DType::i64);  // slow there
            for (const Tensor& layout : layouts) {
                CAPTURE(layout);
                check_integers(layout, {});
                if (layout.rank() == 0) continue;
                check_integers(layout, 0);
                check_integers(layout, -1);
                if (layout.rank() > 2) check_integers(layout, {0, 2});
            }
        }
    const Tensor ends = Tensor::from(std::vector<int64_t>{INT64_MIN, INT64_MAX, 3}, {3}).to(test_device());
    check_integers(ends, {});
    check_integers(ends, 0);
}

}  // namespace demi::test
