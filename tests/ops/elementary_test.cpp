// exp, log, sqrt, square, pow, abs, sigmoid, softplus, tanh, clamp, maximum, minimum.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "ops/elementwise/arithmetic.h"
#include "ops/elementwise/functions.h"
#include "ops/operators.h"
#include "tests/ops/binary.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"

namespace demi::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// fn on special values, in f32 and f64.
void check_special(Variable (*fn)(const Variable&), const std::vector<double>& in,
                   const std::vector<double>& want) {
    const int64_t n = static_cast<int64_t>(in.size());
    for (DType dtype : {DType::f32, DType::f64})
        CHECK(compare(fn(Tensor::from(in, {n}).to(dtype)).value(), Tensor::from(want, {n}), {0, 0}) == "");
}

}  // namespace

TEST_CASE("exp") {
    check_op(unary_case("exp", exp, [](double a) { return std::exp(a); }, {-4, 2}));
    check_special(exp, {0, -kInf, kInf, kNan}, {1, 0, kInf, kNan});
}

TEST_CASE("log") {
    check_op(unary_case("log", log, [](double a) { return std::log(a); }, {0.25, 5}));
    check_special(log, {1, 0, kInf, -1, -kInf, kNan}, {0, -kInf, kInf, kNan, kNan, kNan});
    // over the whole range of f32, subnormals included, and close to 1
    std::vector<float> x;
    for (int e = -149; e < 128; ++e)
        for (float m : {1.f, 1.2345f, 1.41421f, 1.41422f, 1.99f}) x.push_back(std::ldexp(m, e));
    for (int i = -200; i < 200; ++i) x.push_back(1 + 1e-6f * static_cast<float>(i * i * i) / 200);
    const Tensor in = Tensor::from(x, {static_cast<int64_t>(x.size())});
    CHECK(compare(log(in).value(), map(Array(in), [](double a) { return std::log(a); }).tensor(),
                  {0, 3e-7}) == "");
}

TEST_CASE("sqrt") {
    check_op(unary_case("sqrt", sqrt, [](double a) { return std::sqrt(a); }, {0.25, 5}));
    check_special(sqrt, {0, 4, kInf, -1}, {0, 2, kInf, kNan});
}

TEST_CASE("square") {
    check_op(unary_case("square", square, [](double a) { return a * a; }));
}

TEST_CASE("pow") {
    for (double p : {2.0, 0.5, 0.0, 1.0, 3.0, -1.5})
        check_op(unary_case(
            "pow", [p](const Variable& x) { return pow(x, p); }, [p](double a) { return std::pow(a, p); },
            {0.5, 2}));
    const Variable x(Tensor::zeros({2}), true);
    pow(x, 0).backward(Tensor::full({2}, 1));
    CHECK(x.grad().to_vector<float>() == std::vector<float>{0, 0});
}

TEST_CASE("abs") {
    OpCase c = unary_case("abs", abs, [](double a) { return std::fabs(a); });
    c.prepare = [](Arrays& x) {
        for (double& a : x[0].data) a += a < 0 ? -0.1 : 0.1;  // differences cannot cross 0
    };
    check_op(c);
    check_special(abs, {-kInf, kNan, -3}, {kInf, kNan, 3});
    CHECK(std::signbit(abs(Tensor::full({1}, -0.0)).item()) == false);
    const Variable x(Tensor::from(std::vector<float>{-2, 0, 3}, {3}), true);
    abs(x).backward(Tensor::full({3}, 5));
    CHECK(x.grad().to_vector<float>() == std::vector<float>{-5, 0, 5});
}

TEST_CASE("sigmoid") {
    check_op(unary_case("sigmoid", sigmoid, [](double a) { return 1 / (1 + std::exp(-a)); }, {-6, 6}));
    check_special(sigmoid, {0, kInf, -kInf, kNan}, {0.5, 1, 0, kNan});
}

TEST_CASE("softplus") {
    const auto reference = [](double a) { return std::max(a, 0.0) + std::log1p(std::exp(-std::fabs(a))); };
    check_op(unary_case("softplus", softplus, reference, {-9, 9}));
    check_special(softplus, {-kInf, kInf, kNan, -800, 800}, {0, kInf, kNan, 0, 800});
    // from the last subnormal number of f32 to where 1 + e^-x is 1, values and slopes
    std::vector<double> x;
    for (double a = -103; a < 40; a += 0.0625) x.push_back(a);
    x.insert(x.end(), {-1e30, -1e-30, 0, 1e-30, 1e30});
    const int64_t n = static_cast<int64_t>(x.size());
    const auto slope = [](double a) {
        return a < 0 ? std::exp(a) / (1 + std::exp(a)) : 1 / (1 + std::exp(-a));
    };
    for (const auto& [dtype, close] :
         {std::pair{DType::f32, Tolerance{2e-45, 5e-7}}, {DType::f64, {0, 1e-15}}}) {
        const Variable in(Tensor::from(x, {n}).to(dtype).to(test_device()), true);
        const Variable y = softplus(in);
        y.backward(Tensor::full({n}, 1, dtype, test_device()));
        CHECK(compare(y.value(), map(Array(in.value()), reference).tensor(), close) == "");
        CHECK(compare(in.grad(), map(Array(in.value()), slope).tensor(), close) == "");
    }
    const Variable ends(Tensor::from(std::vector<double>{-kInf, kInf, kNan}, {3}), true);
    softplus(ends).backward(Tensor::full({3}, 2, DType::f64));
    CHECK(compare(ends.grad(), Tensor::from(std::vector<double>{0, 2, kNan}, {3}), {0, 0}) == "");
    CHECK_THROWS_WITH_AS(softplus(Tensor::zeros({2}, DType::i64)),
                         "[softplus] needs a floating-point tensor: got i64 (2,) on cpu", Error);
}

TEST_CASE("tanh") {
    check_op(unary_case("tanh", tanh, [](double a) { return std::tanh(a); }));
    check_special(tanh, {0, kInf, -kInf, kNan}, {0, 1, -1, kNan});
}

TEST_CASE("clamp") {
    OpCase c = unary_case(
        "clamp", [](const Variable& x) { return clamp(x, -0.5, 1); },
        [](double a) { return std::min(std::max(a, -0.5), 1.0); });
    c.prepare = [](Arrays& x) {
        for (double& a : x[0].data) a = std::round(a * 8) / 8 + 1.0 / 16;  // not at the corners
    };
    check_op(c);
    CHECK(std::isnan(clamp(Tensor::full({1}, kNan), 0, 1).item()));
    const Variable x(Tensor::from(std::vector<float>{-1, 0, 1, 2}, {4}), true);
    clamp(x, 0, 1).backward(Tensor::full({4}, 5));
    CHECK(x.grad().to_vector<float>() == std::vector<float>{0, 5, 5, 0});
    const Tensor whole =
        Tensor::from(std::vector<int64_t>{INT64_MIN, -3, 5, INT64_MAX}, {4}).to(test_device());
    CHECK(clamp(whole, -INFINITY, INT64_MAX - 1).value().to_vector<int64_t>() ==
          std::vector<int64_t>{INT64_MIN, -3, 5, INT64_MAX - 1});
    CHECK(clamp(whole.to(DType::i32), 0).value().to_vector<int64_t>() == std::vector<int64_t>{0, 0, 5, 0});
    CHECK_THROWS_WITH_AS(clamp(whole, 0.5), "[clamp] needs a whole number beside i64: got 0.5", Error);
    CHECK_THROWS_WITH_AS(clamp(whole.to(DType::u8), -1, 7), "[clamp] the number -1 does not fit u8", Error);
    CHECK_THROWS_WITH_AS(clamp(Variable(), 0, 1), "[clamp] x must be a defined tensor", Error);
    CHECK_THROWS_WITH_AS(clamp(x, 1, 0), "[clamp] low must not exceed high: got 1 and 0", Error);
}

TEST_CASE("maximum and minimum") {
    const auto apart = [](Arrays& x) {
        for (double& a : x[0].data) a = std::round(a * 8) / 8;
        for (double& b : x[1].data) b = std::round(b * 8) / 8 + 1.0 / 16;  // never equal
    };
    OpCase c = binary_case("maximum", maximum, [](double a, double b) { return std::max(a, b); });
    c.prepare = apart;
    check_op(c);
    check_mixed_dtypes(maximum);
    c = binary_case("minimum", minimum, [](double a, double b) { return std::min(a, b); });
    c.prepare = apart;
    check_op(c);
    check_mixed_dtypes(minimum);
    using Binary = Variable (*)(const Variable&, const Variable&);
    for (const Binary fn : {Binary{maximum}, Binary{minimum}}) {
        const Variable a(Tensor::full({1}, 2), true), b(Tensor::full({1}, 2), true);
        fn(a, b).backward(Tensor::full({1}, 6));  // equal: half each
        CHECK(a.grad().item() == 3);
        CHECK(b.grad().item() == 3);
        CHECK(std::isnan(fn(Tensor::full({1}, kNan), Tensor::full({1}, 1)).item()));
        CHECK(std::isnan(fn(Tensor::full({1}, 1), Tensor::full({1}, kNan)).item()));
    }
}

TEST_CASE("maximum and minimum with numbers and integers") {
    check_op(unary_case(
        "maximum number", [](const Variable& x) { return maximum(x, 0.5) * maximum(-1, x); },
        [](double a) { return std::max(a, 0.5) * std::max(-1.0, a); }));
    check_op(unary_case(
        "minimum number", [](const Variable& x) { return minimum(x, 1) * minimum(-0.25, x); },
        [](double a) { return std::min(a, 1.0) * std::min(-0.25, a); }));
    const int64_t big = (INT64_C(1) << 53) + 1;
    const Tensor a = Tensor::from(std::vector<int64_t>{INT64_MIN, big, -1}, {3}).to(test_device());
    CHECK(maximum(a, big - 1).value().to_vector<int64_t>() == std::vector<int64_t>{big - 1, big, big - 1});
    CHECK(minimum(a, a.slice(0, 1, 2)).value().to_vector<int64_t>() ==
          std::vector<int64_t>{INT64_MIN, big, -1});
    CHECK(maximum(a.to(DType::i32), a).dtype() == DType::i64);
    CHECK(maximum(a, 0.5).dtype() == DType::f32);
    CHECK(maximum(a.to(DType::f16), a).dtype() == DType::f16);
    CHECK(minimum(a > 0, 5).dtype() == DType::i64);
    CHECK_THROWS_WITH_AS(maximum(Variable(), 1),
                         "[maximum] needs a defined tensor beside the number 1: got an undefined tensor",
                         Error);
    CHECK_THROWS_WITH_AS(minimum(a, Variable()), doctest::Contains("[minimum] needs defined tensors"), Error);
    CHECK_THROWS_WITH_AS(minimum(300, a.to(DType::u8)), "[minimum] the number 300 does not fit u8", Error);
}

}  // namespace demi::test
