// Counts of zero in every position: element-wise ops, reductions, views, concatenations and index ops,
// forward and backward.
#include <doctest/doctest.h>

#include <cmath>

#include <sstream>

#include "ops/elementwise/arithmetic.h"
#include "ops/elementwise/cast.h"
#include "ops/elementwise/compare.h"
#include "ops/elementwise/functions.h"
#include "ops/elementwise/where.h"
#include "ops/index/gather.h"
#include "ops/index/index_select.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "ops/views/concat.h"
#include "ops/views/split.h"
#include "ops/views/views.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/env.h"
#include "tests/support/gradcheck.h"

namespace demi::test {
namespace {

int most_rank() { return quick() || emulated() ? 2 : 3; }

// All shapes of this rank with sizes of 0, 1 and 3, at least one of them 0.
std::vector<Shape> empty_shapes(int rank) {
    std::vector<Shape> all{Shape{}}, out;
    for (int d = 0; d < rank; ++d) {
        std::vector<Shape> longer;
        for (const Shape& shape : all)
            for (const int64_t size : {0, 1, 3}) {
                longer.push_back(shape);
                longer.back().push_back(size);
            }
        all = longer;
    }
    for (const Shape& shape : all)
        if (shape.numel() == 0) out.push_back(shape);
    return out;
}

// Whatever fn makes of tensors of which one is empty holds zeros only (sums of nothing), and so do the
// gradients, over two sweeps whose incoming gradients are expanded.
void check_empty(const std::string& op, const OpFunction& fn, const std::vector<Shape>& shapes) {
    std::ostringstream text;
    for (const Shape& shape : shapes) text << shape << ' ';
    INFO(op, " of ", text.str());
    static Sample taken(7);
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
        if (!taken()) continue;
        Vars leaves;
        for (const Shape& shape : shapes)
            leaves.emplace_back(Tensor::full(shape, 0.5, dtype, test_device()), true);
        for (int sweep = 0; sweep < 2; ++sweep) {
            Variable loss = Tensor::zeros({}, dtype, test_device());
            for (const Variable& y : fn(leaves)) {
                CHECK(compare(y.value(), Tensor::zeros(y.shape()), {}) == "");
                loss = loss + sum(y) * 2.0;
            }
            if (loss.requires_grad()) loss.backward();
        }
        for (const Variable& x : leaves)
            if (x.grad().defined()) {
                CHECK(x.grad().dtype() == dtype);
                CHECK(compare(x.grad(), Tensor::zeros(x.shape()), {}) == "");
            }
    }
}

}  // namespace

TEST_CASE("element-wise ops on nothing") {
    for (int rank = 1; rank <= most_rank(); ++rank)
        for (const Shape& shape : empty_shapes(rank)) {
            const auto unary = [&](const char* op, auto f) {
                check_empty(op, [f](const Vars& x) -> Variable { return f(x[0]); }, {shape});
                check_empty(op, [f](const Vars& x) -> Variable { return f(transpose(x[0], 0, -1)); },
                            {shape});
            };
            unary("neg", [](const Variable& x) { return -x; });
            unary("abs", [](const Variable& x) { return abs(x); });
            unary("exp", [](const Variable& x) { return exp(x); });
            unary("log", [](const Variable& x) { return log(x); });
            unary("sqrt", [](const Variable& x) { return sqrt(x); });
            unary("square", [](const Variable& x) { return square(x); });
            unary("pow", [](const Variable& x) { return pow(x, 3); });
            unary("clamp", [](const Variable& x) { return clamp(x, 0, 1); });
            unary("sigmoid", [](const Variable& x) { return sigmoid(x); });
            unary("tanh", [](const Variable& x) { return tanh(x); });
            unary("x + 1", [](const Variable& x) { return x + 1; });
            unary("1 - x", [](const Variable& x) { return 1 - x; });
            unary("1 / x", [](const Variable& x) { return 1 / x; });
            unary("cast", [](const Variable& x) { return cast(x, DType::f16); });
            unary("maximum", [](const Variable& x) { return maximum(x, 0.5); });
            unary("where", [](const Variable& x) { return where(x > 1, x, 2); });
            unary("masked_fill", [](const Variable& x) { return masked_fill(x, !(x < 1), 2); });
            CHECK((Tensor::zeros(shape, DType::i64, test_device()) == 0).shape() == shape);
            for (Shape other : {shape, Shape{}, Shape{1}, Shape{1, 1}}) {
                for (const std::vector<Shape>& both :
                     {std::vector{shape, other}, std::vector{other, shape}}) {
                    check_empty(
                        "+", [](const Vars& x) { return x[0] + x[1]; }, both);
                    check_empty(
                        "-", [](const Vars& x) { return x[0] - x[1]; }, both);
                    check_empty(
                        "*", [](const Vars& x) { return x[0] * x[1]; }, both);
                    check_empty(
                        "/", [](const Vars& x) { return x[0] / x[1]; }, both);
                    check_empty(
                        "maximum", [](const Vars& x) { return maximum(x[0], x[1]); }, both);
                    check_empty(
                        "minimum", [](const Vars& x) { return minimum(x[0], x[1]); }, both);
                    check_empty(
                        "where",
                        [](const Vars& x) {
                            return where(Tensor::full({1}, 1, DType::boolean, test_device()), x[0], x[1]);
                        },
                        both);
                    check_empty(
                        "where",
                        [&](const Vars& x) {
                            return where(Tensor::full(shape, 1, DType::boolean, test_device()), x[1], x[1]);
                        },
                        both);
                }
            }
            check_empty("masked_fill",
                        [&](const Vars& x) {
                            return masked_fill(x[0], Tensor::full({1}, 1, DType::boolean, test_device()), 3);
                        },
                        {shape});
        }
}

TEST_CASE("reductions of nothing") {
    for (int rank = 1; rank <= most_rank(); ++rank)
        for (const Shape& shape : empty_shapes(rank))
            for (int dims = 0; dims < 1 << rank; ++dims)
                for (const bool keepdim : {false, true}) {
                    std::vector<int> list;
                    int64_t reduced = 1;
                    for (int d = 0; d < rank; ++d)
                        if ((dims >> d & 1) != 0 || dims == 0) {
                            if (dims != 0) list.push_back(d);
                            reduced *= shape[d];
                        }
                    const Tensor none = Tensor::zeros(shape, DType::i32, test_device());
                    CHECK(sum(none, list, keepdim).dtype() == DType::i64);
                    CHECK(sum(none, list, keepdim).value().to_vector<int64_t>() ==
                          std::vector<int64_t>(static_cast<size_t>(sum(none, list, keepdim).numel())));
                    CHECK(sum(any(none, list, keepdim)).item() == 0);
                    check_empty("sum", [&](const Vars& x) { return sum(x[0], list, keepdim); }, {shape});
                    const auto average = [&](const Vars& x) { return mean(x[0], list, keepdim); };
                    const auto largest = [&](const Vars& x) { return max(x[0], list, keepdim); };
                    const auto smallest = [&](const Vars& x) { return min(x[0], list, keepdim); };
                    if (reduced > 0) {
                        check_empty("mean", average, {shape});
                        check_empty("max", largest, {shape});
                        check_empty("min", smallest, {shape});
                        CHECK(max(none, list, keepdim).dtype() == DType::i32);
                    } else {
                        for (double v : mean(Tensor::zeros(shape, DType::f32, test_device()), list, keepdim)
                                            .value()
                                            .to_vector<double>())
                            CHECK(std::isnan(v));
                        CHECK_THROWS_AS(largest({Tensor::zeros(shape)}), Error);
                        CHECK_THROWS_AS(smallest({Tensor::zeros(shape)}), Error);
                        CHECK(all(all(none, list, keepdim)).item() == 1);
                    }
                }
}

TEST_CASE("views of nothing") {
    for (int rank = 1; rank <= most_rank(); ++rank)
        for (const Shape& shape : empty_shapes(rank)) {
            check_empty("reshape", [&](const Vars& x) { return reshape(x[0], {3, 0, 2}); }, {shape});
            check_empty("reshape", [&](const Vars& x) { return reshape(transpose(x[0], 0, -1), {0}); },
                        {shape});
            Shape wide = shape;
            wide.insert(0, 4);
            check_empty("expand", [&](const Vars& x) { return expand(x[0], wide); }, {shape});
            wide[0] = 0;
            check_empty("expand", [&](const Vars& x) { return expand(x[0], wide); }, {shape});
            check_empty("expand", [&](const Vars& x) { return expand(x[0], wide); }, {{1}});
            std::vector<int> order;
            for (int d = 0; d < rank; ++d) order.insert(order.begin(), d);
            check_empty("permute", [&](const Vars& x) { return permute(x[0], order); }, {shape});
            for (int d = 0; d < rank; ++d) {
                const int64_t size = shape[d];
                check_empty("transpose", [&](const Vars& x) { return transpose(x[0], 0, d); }, {shape});
                check_empty("unsqueeze", [&](const Vars& x) { return unsqueeze(x[0], d); }, {shape});
                if (size == 1)
                    check_empty("squeeze", [&](const Vars& x) { return squeeze(x[0], d); }, {shape});
                check_empty("slice", [&](const Vars& x) { return slice(x[0], d, 0, size); }, {shape});
                check_empty("slice", [&](const Vars& x) { return slice(x[0], d, 0, 0); }, {shape});
                check_empty("slice", [&](const Vars& x) { return slice(x[0], d, size, size, 2); }, {shape});
                check_empty("slice", [&](const Vars& x) { return slice(x[0], d, size / 2, size, 2); },
                            {shape});
                if (size > 0)
                    check_empty("select", [&](const Vars& x) { return select(x[0], d, size - 1); }, {shape});
                check_empty("chunk", [&](const Vars& x) { return chunk(x[0], size == 0 ? 5 : size, d); },
                            {shape});
                check_empty("unbind", [&](const Vars& x) { return unbind(x[0], d); }, {shape});
                check_empty("split", [&](const Vars& x) { return split(x[0], {0, size, 0}, d); }, {shape});
                check_empty("concat", [&](const Vars& x) { return concat({x[0], x[0]}, d); }, {shape});
                check_empty("concat", [&](const Vars& x) { return concat({x[0]}, d); }, {shape});
                check_empty("stack", [&](const Vars& x) { return stack({x[0], x[0], x[0]}, d); }, {shape});
                const Tensor none = Tensor::zeros({0}, DType::i64, test_device());
                check_empty("index_select", [&](const Vars& x) { return index_select(x[0], d, none); },
                            {shape});
                Shape places = shape;
                places[d] = 0;
                check_empty("gather",
                            [&](const Vars& x) {
                                return gather(x[0], d, Tensor::zeros(places, DType::i64, test_device()));
                            },
                            {shape});
                if (size > 0) {
                    const Tensor some = Tensor::zeros({4}, DType::i64, test_device());
                    check_empty("index_select", [&](const Vars& x) { return index_select(x[0], d, some); },
                                {shape});
                    places[d] = 4;
                    check_empty("gather",
                                [&](const Vars& x) {
                                    return gather(x[0], d, Tensor::zeros(places, DType::i64, test_device()));
                                },
                                {shape});
                }
            }
        }
}

}  // namespace demi::test
