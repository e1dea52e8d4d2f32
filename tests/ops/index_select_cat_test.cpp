#include "ops/index_select_cat/index_select_cat.h"

#include <doctest/doctest.h>

#include "runtime/allocator.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/op_case.h"

namespace demi::test {
namespace {

Boundary in_mode(BoundaryMode mode) { return {.mode = mode}; }

Tensor rows_of(std::vector<int64_t> values) {
    const int64_t n = static_cast<int64_t>(values.size());
    return Tensor::from(values, {n}).to(test_device());
}

Tensor numbers(const Shape& shape, uint64_t seed, DType dtype = DType::f32) {
    Generator generator{seed};
    Tensor t = Tensor::empty(shape);
    normal(t, generator);
    return t.to(dtype).to(test_device());
}

using Lists = std::vector<std::vector<int64_t>>;

Arrays reference(const Arrays& sources, const Lists& lists) {
    std::vector<double> flat;
    for (size_t i = 0; i < sources.size(); ++i)
        for (const int64_t row : lists[i])
            for (int64_t d = 0; d < sources[i].shape[1]; ++d) flat.push_back(sources[i]({row, d}));
    Array y({static_cast<int64_t>(flat.size())});
    y.data = flat;
    return {y};
}

void check_lists(std::vector<Shape> shapes, const Lists& lists, Boundary boundary,
                 std::vector<DType> dtypes) {
    check_op({
        .op = "index_select_cat",
        .shapes = {std::move(shapes)},
        .fn =
            [=](const Vars& x) {
                std::vector<Tensor> indices;
                for (const auto& list : lists) indices.push_back(rows_of(list).to(x[0].device()));
                return index_select_cat(x, indices, boundary);
            },
        .reference = [=](const Arrays& x) { return reference(x, lists); },
        .dtypes = std::move(dtypes),
    });
}

}  // namespace

TEST_CASE("index_select_cat takes rows of any list") {
    const std::vector<DType> all{DType::f32, DType::f16, DType::bf16, DType::f64};
    check_lists({{4, 3}, {5, 7}}, {{2, 0}, {4, 1, 3}}, in_mode(BoundaryMode::off), all);
    check_lists({{4, 3}}, {{3, 3, 0, 3}}, in_mode(BoundaryMode::off), all);  // duplicates
    check_lists({{4, 3}, {3, 5}, {2, 1}}, {{}, {2, 1, 0}, {}}, in_mode(BoundaryMode::wide),
                all);  // empty lists
    check_lists({{1, 1}}, {{0}}, in_mode(BoundaryMode::wide), all);
    check_lists({{6, 33}, {2, 1030}}, {{5, 4, 3, 2, 1, 0}, {1}}, in_mode(BoundaryMode::off),
                all);  // permutation
    check_lists({{0, 4}, {3, 0}}, {{}, {1, 2}}, in_mode(BoundaryMode::off), {DType::f32, DType::f64});
    // f16 callers lose nothing in strict mode: what they hold is fp16
    check_lists({{4, 3}, {5, 7}}, {{2, 0}, {4, 1, 3}}, {}, {DType::f16, DType::f64});
    check_lists({{3, 70000}}, {{2, 0}}, in_mode(BoundaryMode::off), {DType::f32});  // rows longer than a tile
}

TEST_CASE("index_select_cat in strict mode is exact fp16") {
    const Tensor x = numbers({7, 129}, 1), index = rows_of({6, 0, 3});
    const Tensor want = x.to(DType::f16);
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
        const Variable source(x.to(dtype), true);
        const Variable y = index_select_cat({source}, {index});
        CHECK(y.dtype() == dtype);
        const Tensor rounded = x.to(dtype).to(DType::f16).to(dtype);
        for (int64_t i = 0; i < 3; ++i)
            CHECK(same_bits(y.value().slice(0, i * 129, (i + 1) * 129),
                            rounded.select(0, std::vector<int64_t>{6, 0, 3}[size_t(i)])) == "");
        const Tensor dy = numbers(y.shape(), 2, dtype);
        y.backward(dy);
        CHECK(source.grad().dtype() == dtype);
        CHECK(same_bits(source.grad().select(0, 3), dy.to(DType::f16).to(dtype).slice(0, 258, 387)) == "");
        CHECK(same_bits(source.grad().select(0, 1), Tensor::zeros({129}, dtype)) == "");
    }
}

// The published implementations fail on each of these; see the names.
TEST_CASE("index_select_cat does right where the originals do not") {
    const Boundary strict{};
    SUBCASE("full permutation, and a single row") {
        const Tensor x = numbers({4, 8}, 3, DType::f16);
        CHECK(same_bits(index_select_cat({x}, {Tensor::arange(4).to(test_device())}).value().view({4, 8}),
                        x) == "");
        CHECK(same_bits(index_select_cat({x.slice(0, 0, 1)}, {Tensor::arange(1).to(test_device())})
                            .value()
                            .view({1, 8}),
                        x.slice(0, 0, 1)) == "");
    }
    SUBCASE("columns that are no multiple of 256: ViT-S has 257 * 384") {
        const Tensor x = numbers({3, 257 * 384}, 4, DType::f16);
        CHECK(same_bits(index_select_cat({x}, {rows_of({2})}).value(), x.select(0, 2)) == "");
    }
    SUBCASE("a sliced source, whose rows are farther apart than they are long") {
        const Tensor wide = numbers({5, 12}, 5, DType::f16), x = wide.slice(1, 2, 9);
        CHECK(same_bits(index_select_cat({x}, {rows_of({4, 1})}).value(),
                        index_select_cat({x.clone()}, {rows_of({4, 1})}).value()) == "");
    }
    SUBCASE("an expanded gradient, as sum() gives") {
        Variable x(numbers({4, 6}, 6, DType::f16), true);
        const Variable y = index_select_cat({x}, {rows_of({1, 3})});
        y.backward(Tensor::full({1}, 1, DType::f16).to(test_device()).expand({12}));
        CHECK(compare(x.grad().select(0, 1), Tensor::full({6}, 1), {}) == "");
        CHECK(compare(x.grad().select(0, 0), Tensor::full({6}, 0), {}) == "");
    }
    SUBCASE("duplicates accumulate instead of overwriting one another") {
        Variable x(numbers({2, 3}, 7), true);
        const Variable y = index_select_cat({x}, {rows_of({1, 1, 1})}, strict);
        y.backward(Tensor::full({9}, 0.5).to(test_device()));
        CHECK(compare(x.grad().select(0, 1), Tensor::full({3}, 1.5), {}) == "");
    }
    SUBCASE("mixed dtypes: the first decides, every source is read in its own") {
        Variable a(numbers({2, 3}, 8, DType::bf16), true), b(numbers({2, 3}, 9), true);
        const Variable y = index_select_cat({a, b}, {rows_of({0}), rows_of({1})});
        CHECK(y.dtype() == DType::bf16);
        y.backward(Tensor::full({6}, 1, DType::bf16).to(test_device()));
        CHECK(a.grad().dtype() == DType::bf16);
        CHECK(b.grad().dtype() == DType::f32);
    }
    SUBCASE("i32 lists") {
        const Tensor x = numbers({4, 8}, 10);
        CHECK(same_bits(index_select_cat({x}, {rows_of({3, 1}).to(DType::i32)}).value(),
                        index_select_cat({x}, {rows_of({3, 1})}).value()) == "");
    }
}

TEST_CASE("index_select_cat with a gradient of its second source only") {
    Variable a(numbers({2, 3}, 8)), b(numbers({2, 4}, 9), true);
    index_select_cat({a, b}, {rows_of({0}), rows_of({1, 1})})
        .backward(Tensor::full({11}, 1).to(test_device()));
    CHECK(compare(b.grad().select(0, 1), Tensor::full({4}, 2), {}) == "");
}

TEST_CASE("index_select_cat makes no fp16 copy of f32 sources") {
    if (!test_device().is_cpu()) return;
    const Tensor x = numbers({64, 4096}, 11), index = rows_of({5, 9, 60});
    (void)index_select_cat({x}, {index});  // the ledger's line, the pool
    const AllocatorStats before = allocator_stats();
    reset_peak();
    const Variable y = index_select_cat({x}, {index});
    const AllocatorStats after = allocator_stats();
    CHECK(after.allocations == before.allocations + 1);
    CHECK(after.peak_bytes - before.live_bytes == 3 * 4096 * 4);
}

TEST_CASE("index_select_cat refuses") {
    const Tensor x = numbers({3, 4}, 1), i = rows_of({0});
    const auto refused = [](const std::vector<Variable>& s, const std::vector<Tensor>& l, const char* why) {
        CHECK_THROWS_WITH_AS(index_select_cat(s, l), why, Error);
    };
    if (test_device().is_cpu()) {
        refused({}, {},
                "[index_select_cat] needs at least one source, and one index list per source: got 0 sources "
                "and 0 lists");
        refused({x, x}, {i},
                "[index_select_cat] needs at least one source, and one index list per source: got 2 sources "
                "and 1 lists");
        refused({x.select(0, 0)}, {i},
                "[index_select_cat] sources[0] must be a floating-point matrix [rows, columns]: got f32 (4,) "
                "on cpu");
        refused({x}, {i.view({1, 1})},
                "[index_select_cat] indices[0] must be a list of row numbers, rank 1: got i64 (1, 1) on cpu");
        refused(
            {x}, {Tensor()},
            "[index_select_cat] indices[0] must be a list of row numbers, rank 1: got an undefined tensor");
        refused({x}, {i.to(DType::f32)},
                "[index_select_cat] indices[0] must be i64 or i32: got f32 (1,) on cpu");
    }
    refused({x}, {rows_of({0, 2, 3})},
            "[index_select_cat] indices[0][2] = 3 is not a row: there are 3 rows (from 0)");
    refused({x}, {rows_of({-1})},
            "[index_select_cat] indices[0][0] = -1 is not a row: there are 3 rows (from 0)");
    refused({x, x}, {i, rows_of({7})},
            "[index_select_cat] indices[1][0] = 7 is not a row: there are 3 rows (from 0)");
}

}  // namespace demi::test
