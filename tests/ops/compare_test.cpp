// eq, ne, lt, le, gt, ge, isnan, isinf, isfinite.
#include "ops/elementwise/compare.h"

#include <doctest/doctest.h>

#include "ops/operators.h"
#include "tests/ops/binary.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"

namespace demi::test {
namespace {

using Compare = Tensor (*)(const Operand&, const Operand&);

struct Relation {
    const char* name;
    Compare fn;
    bool less, equal, greater;

    template <class T> bool holds(T a, T b) const {
        const bool other = name == std::string_view("ne");  // the one that NaN meets
        return (a < b && less) || (a == b && equal) || (a > b && greater) || (other && !(a == b));
    }
};
const Relation kRelations[] = {{"eq", eq, false, true, false}, {"ne", ne, true, false, true},
                               {"lt", lt, true, false, false}, {"le", le, true, true, false},
                               {"gt", gt, false, false, true}, {"ge", ge, false, true, true}};
const DType kDTypes[] = {DType::f16, DType::bf16, DType::f32, DType::f64,
                         DType::i32, DType::i64,  DType::u8,  DType::boolean};

Tensor here(const Tensor& t) { return t.to(test_device()); }
template <class T> Tensor vector_of(const std::vector<T>& v) {
    return here(Tensor::from(v, {static_cast<int64_t>(v.size())}));
}
std::vector<uint8_t> bits(const Tensor& t) {
    CHECK(t.dtype() == DType::boolean);
    return t.to_vector<uint8_t>();
}

// Every element of a with every element of b, which have one dtype.
template <class T> std::vector<uint8_t> oracle(const Relation& relation, const Tensor& a, const Tensor& b) {
    std::vector<uint8_t> out;
    for (const T x : a.to_vector<T>())
        for (const T y : b.to_vector<T>()) out.push_back(relation.holds(x, y));
    return out;
}
std::vector<uint8_t> table(Compare fn, const Tensor& a, const Tensor& b) {
    return bits(fn(a.unsqueeze(1), b.unsqueeze(0)));
}

constexpr int64_t kMost = INT64_MAX, kLeast = INT64_MIN, kBig = int64_t{1} << 53;
const double kNan = std::nan(""), kInf = INFINITY;

}  // namespace

TEST_CASE("comparisons") {
    for (const Relation& relation : kRelations) {
        OpCase c = binary_case(
            relation.name, [](const Variable& a, const Variable&) { return a; },
            [relation](double a, double b) { return relation.holds(a, b) ? 1.0 : 0.0; });
        c.fn = [relation](const Vars& x) { return Variable(relation.fn(x[0], x[1])); };
        c.prepare = [](Arrays& x) {  // whole numbers from -2 to 2: many are equal
            for (Array& a : x)
                for (double& v : a.data) v = std::round(v);
        };
        c.output_dtypes = {DType::boolean};
        c.gradients = false;
        check_op(c);
    }
}

TEST_CASE("comparisons of two dtypes happen in the promoted one") {
    const Tensor values = Tensor::from(
        std::vector<double>{0, 1, 2, 255, 0.5, -1, -3.25, 2048, 2049, 70001, 16777217, kInf, -kInf, kNan},
        {14});
    for (const DType ta : kDTypes)
        for (const DType tb : kDTypes) {
            CAPTURE(name(ta));
            CAPTURE(name(tb));
            const Tensor a = values.to(ta), b = values.to(tb);
            const DType common = promote(ta, tb);
            for (const Relation& relation : kRelations) {
                CAPTURE(relation.name);
                const Tensor x = a.to(common), y = b.to(common);
                const auto want =
                    is_float(common) ? oracle<double>(relation, x, y) : oracle<int64_t>(relation, x, y);
                CHECK(table(relation.fn, here(a), here(b)) == want);
            }
        }
}

TEST_CASE("comparisons of integers are exact") {
    const Tensor a = Tensor::from(std::vector<int64_t>{kLeast, kLeast + 1, -kBig - 1, -kBig, -1, 0, 1, kBig,
                                                       kBig + 1, kMost - 1, kMost},
                                  {11});
    for (const Relation& relation : kRelations) {
        CAPTURE(relation.name);
        CHECK(table(relation.fn, here(a), here(a)) == oracle<int64_t>(relation, a, a));
        for (const int64_t n : a.to_vector<int64_t>()) {
            CAPTURE(n);
            const Tensor number = Tensor::from(std::vector<int64_t>{n}, {1});
            CHECK(bits(relation.fn(here(a), n)) == oracle<int64_t>(relation, a, number));
            CHECK(bits(relation.fn(n, here(a))) == oracle<int64_t>(relation, number, a));
        }
    }
    CHECK(bits(eq(vector_of<uint8_t>({44, 255}), 300)) ==
          std::vector<uint8_t>{0, 0});  // does not wrap around
    CHECK(bits(lt(vector_of<int32_t>({-1, INT32_MAX}), uint64_t{1} << 63)) == std::vector<uint8_t>{1, 1});
    CHECK(bits(gt(vector_of<int64_t>({16777216, 16777217}), 16777216.5)) == std::vector<uint8_t>{0, 1});
}

TEST_CASE("comparisons with a number round it to the dtype of floats") {
    const double numbers[] = {0.1, -0.1, 0, -0.0, 1, 65504, 1e6, 1e-9, kInf, -kInf, kNan};
    for (const DType dtype : {DType::f16, DType::bf16, DType::f32, DType::f64}) {
        CAPTURE(name(dtype));
        const Tensor x =
            Tensor::from(std::vector<double>(std::begin(numbers), std::end(numbers)), {11}).to(dtype);
        for (const Relation& relation : kRelations)
            for (const double n : numbers) {
                CAPTURE(n);
                const Tensor number = Tensor::full({1}, n, dtype);
                CHECK(bits(relation.fn(here(x), n)) == oracle<double>(relation, x, number));
                CHECK(bits(relation.fn(n, here(x))) == oracle<double>(relation, number, x));
            }
    }
    CHECK(bits(eq(here(Tensor::full({2}, 0.1, DType::f16)), 0.1f)) == std::vector<uint8_t>{1, 1});
    CHECK(bits(eq(vector_of<float>({3, 4}), 3)) == std::vector<uint8_t>{1, 0});
    CHECK(bits(eq(here(Tensor::full({2}, 1, DType::boolean)), true)) == std::vector<uint8_t>{1, 1});
}

TEST_CASE("comparisons as operators") {
    const Tensor t = vector_of<float>({1, 2, 3});
    const Variable v(vector_of<float>({3, 2, 1}), true);
    using Bits = std::vector<uint8_t>;
    CHECK(bits(t == v) == Bits{0, 1, 0});
    CHECK(bits(t != t) == Bits{0, 0, 0});
    CHECK(bits(v < 2) == Bits{0, 0, 1});
    CHECK(bits(2 < v) == Bits{1, 0, 0});
    CHECK(bits(v <= t) == Bits{0, 1, 1});
    CHECK(bits(v >= 2.0f) == Bits{1, 1, 0});
    CHECK(bits(int64_t{2} >= v) == Bits{0, 1, 1});
    CHECK(bits(t > 1.5) == Bits{0, 1, 1});
    CHECK(bits(2 == t) == Bits{0, 1, 0});
    CHECK(bits(2 != t) == Bits{1, 0, 1});
}

TEST_CASE("isnan, isinf, isfinite") {
    const std::vector<double> values{0, -1, kInf, -kInf, kNan, 60000, -kNan};
    using Bits = std::vector<uint8_t>;
    for (const DType dtype : kDTypes) {
        CAPTURE(name(dtype));
        const Tensor x = here(Tensor::from(values, {7}).to(dtype));
        CHECK(bits(isnan(x)) == (is_float(dtype) ? Bits{0, 0, 0, 0, 1, 0, 1} : Bits(7, 0)));
        CHECK(bits(isinf(x)) == (is_float(dtype) ? Bits{0, 0, 1, 1, 0, 0, 0} : Bits(7, 0)));
        CHECK(bits(isfinite(x)) == (is_float(dtype) ? Bits{1, 1, 0, 0, 0, 1, 0} : Bits(7, 1)));
    }
    CHECK(bits(isfinite(vector_of<double>({1e300, -1e-320}))) == Bits{1, 1});
}

TEST_CASE("comparisons refuse what they cannot do") {
    const Tensor x = Tensor::zeros({2, 3});
    CHECK_THROWS_WITH_AS(eq(x, Tensor::zeros({2, 4})),
                         "[eq] shapes cannot be broadcast together: (2, 3) and (2, 4)", Error);
    CHECK_THROWS_WITH_AS(gt(Variable(), x),
                         "[gt] needs defined tensors: got an undefined tensor and f32 (2, 3) on cpu", Error);
    CHECK_THROWS_WITH_AS(le(Tensor(), 3), "[le] needs a defined tensor: got an undefined tensor and 3",
                         Error);
    CHECK_THROWS_WITH_AS(ne(0.5, Variable()), "[ne] needs a defined tensor: got an undefined tensor and 0.5",
                         Error);
    CHECK_THROWS_WITH_AS(lt(1, 2), "[lt] needs a tensor: got two numbers", Error);
    CHECK_THROWS_AS(isnan(Variable()), Error);
    CHECK_THROWS_AS(isinf(Variable()), Error);
    CHECK_THROWS_AS(isfinite(Tensor()), Error);
}

}  // namespace demi::test
