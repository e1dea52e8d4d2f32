#include "ops/matmul/matmul.h"

#include <doctest/doctest.h>

#include "tests/support/op_case.h"

namespace demi::test {
namespace {

// [..., m, k] x [..., k, n] with broadcasting, as plainly as possible.
Array product(Array a, Array b, MatmulOptions options) {
    const bool row = a.shape.rank() == 1, column = b.shape.rank() == 1;
    if (row) a.shape.insert(0, 1);
    if (column) b.shape.insert(1, 1);
    const int ra = a.shape.rank(), rb = b.shape.rank();
    auto at = [](const Array& x, const Shape& batch, int64_t i, int64_t j, bool flip) {
        Shape index = batch;
        index.push_back(flip ? j : i);
        index.push_back(flip ? i : j);
        return x(index);
    };
    const bool flip_a = options.transpose_a && !row, flip_b = options.transpose_b && !column;
    const int64_t m = a.shape[flip_a ? ra - 1 : ra - 2], k = a.shape[flip_a ? ra - 2 : ra - 1];
    const int64_t n = b.shape[flip_b ? rb - 2 : rb - 1];
    auto leading = [](Shape s) {
        s.erase(s.rank() - 1);
        s.erase(s.rank() - 1);
        return s;
    };
    const Shape batch = broadcast(leading(a.shape), leading(b.shape), "reference");
    Shape full = batch;
    full.push_back(m);
    full.push_back(n);
    Array out(full);
    for_each_index(batch, [&](const Shape& index) {
        for (int64_t i = 0; i < m; ++i)
            for (int64_t j = 0; j < n; ++j) {
                double sum = 0;
                for (int64_t p = 0; p < k; ++p) {
                    Shape ia = index, ib = index;
                    while (ia.rank() > ra - 2) ia.erase(0);
                    while (ib.rank() > rb - 2) ib.erase(0);
                    sum += at(a, ia, i, p, flip_a) * at(b, ib, p, j, flip_b);
                }
                Shape to = index;
                to.push_back(i);
                to.push_back(j);
                out(to) = sum;
            }
    });
    if (column) out.shape.erase(out.shape.rank() - 1);
    if (row) out.shape.erase(column ? out.shape.rank() - 1 : out.shape.rank() - 2);
    return out;
}

void check_matmul(const std::vector<std::vector<Shape>>& shapes, MatmulOptions options = {}) {
    check_op({
        .op = "matmul",
        .shapes = shapes,
        .fn = [=](const Vars& x) { return matmul(x[0], x[1], options); },
        .reference = [=](const Arrays& x) -> Arrays { return {product(x[0], x[1], options)}; },
        .range = {-1, 1},
        .factor = 8,
        .grad_factor = 16,
        .products = true,
    });
}

}  // namespace

TEST_CASE("matmul of matrices") {
    check_matmul({{{1, 1}, {1, 1}},
                  {{3, 5}, {5, 2}},
                  {{17, 33}, {33, 35}},
                  {{60, 13}, {13, 70}},
                  {{3, 400}, {400, 40}},  // beyond one chunk of the depth
                  {{410, 7}, {7, 20}}});  // B is packed before
}

TEST_CASE("matmul of nothing") {
    check_matmul(
        {{{0, 3}, {3, 2}}, {{3, 0}, {0, 2}}, {{3, 2}, {2, 0}}, {{0, 2, 3}, {3, 4}}, {{2, 0, 3}, {2, 3, 4}}});
}

TEST_CASE("matmul with vectors and batches") {
    check_matmul({{{5}, {5}},
                  {{5}, {5, 3}},
                  {{4, 5}, {5}},
                  {{2, 4, 5}, {5}},
                  {{5}, {2, 5, 3}},
                  {{2, 4, 5}, {5, 3}},
                  {{4, 5}, {2, 5, 3}},
                  {{2, 3, 4, 5}, {2, 3, 5, 6}},
                  {{2, 1, 4, 5}, {3, 5, 6}},
                  {{3, 1, 7, 16}, {1, 2, 16, 33}}});
}

TEST_CASE("matmul of transposed operands") {
    check_matmul({{{7, 5}, {7, 4}}, {{2, 7, 5}, {3, 1, 7, 4}}, {{7, 5}, {7}}}, {.transpose_a = true});
    check_matmul({{{5, 7}, {4, 7}}, {{2, 5, 7}, {4, 7}}, {{3, 20, 16}, {3, 33, 16}}}, {.transpose_b = true});
    check_matmul({{{7, 5}, {4, 7}}, {{2, 7, 5}, {2, 4, 7}}}, {.transpose_a = true, .transpose_b = true});
}

TEST_CASE("matmul refuses what does not fit") {
    const Tensor a = Tensor::zeros({2, 3});
    CHECK_THROWS_WITH_AS(matmul(a, Tensor::zeros({4, 2})),
                         "[matmul] a [..., m, k] and b [..., k, n] must agree in k and in the leading sizes: "
                         "got (2, 3) and (4, 2)",
                         Error);
    CHECK_THROWS_AS(matmul(Tensor::zeros({2, 2, 3}), Tensor::zeros({3, 3, 2})), Error);
    CHECK_THROWS_AS(matmul(a, Tensor::zeros({3, 2}, DType::f16)), Error);
    CHECK_THROWS_AS(matmul(a, Tensor::zeros({})), Error);
    CHECK_THROWS_AS(matmul(a, Tensor::zeros({3, 2}, DType::i64)), Error);
}

}  // namespace demi::test
