// Shapes, dimensions, broadcasting and the promotion of dtypes.
#include "runtime/shape.h"

#include <doctest/doctest.h>

#include "runtime/dtype.h"
#include "tests/support/check_error.h"
#include <algorithm>

using namespace demi;
using namespace demi::test;

static std::string text(const Shape& shape) { return printed(shape); }

TEST_CASE("shape: text, sizes, editing, limits") {
    CHECK(text({}) == "()");
    CHECK(text({7}) == "(7,)");
    CHECK(text({2, 0, 3}) == "(2, 0, 3)");
    CHECK(Shape{}.numel() == 1);
    CHECK(Shape{2, 0, 3}.numel() == 0);
    CHECK(Shape{INT64_MAX, 0, INT64_MAX}.numel() == 0);
    CHECK(has(error_of([] { (void)Shape{INT64_MAX, 2}.numel(); }), "[shape] size does not fit 64 bits"));
    CHECK(has(error_of([] { (void)Shape{}.back(); }), "[shape] rank 0"));
    CHECK(has(error_of([] { (void)Shape{INT64_MAX, INT64_MAX, 7}.numel(); }), "does not fit 64 bits"));
    CHECK(error_of([] {
              (void)Shape{2, 3}[-1];
          }) == "[shape] dimension must be in [0, 2) for (2, 3): got -1; size() of a tensor counts negative "
                "ones from the end");
    CHECK(has(error_of([] { (void)Shape{2, 3}[2]; }), "got 2"));
    CHECK(has(error_of([] { (void)Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}; }), "rank must be at most 8: got 9"));
    Shape s{4, 5};
    s.insert(0, 3);
    s.insert(3, 6);
    CHECK(s == Shape{3, 4, 5, 6});
    s.erase(1);
    CHECK(s == Shape{3, 5, 6});
    CHECK(s.back() == 6);
    CHECK(s != Shape{3, 5});
    CHECK(has(error_of([&] { s.erase(3); }), "cannot remove dimension 3 of (3, 5, 6)"));
    CHECK(has(error_of([&] { s.insert(5, 1); }), "cannot insert at dimension 5"));
    Shape full{1, 1, 1, 1, 1, 1, 1, 1};
    CHECK(has(error_of([&] { full.push_back(1); }), "rank must be at most 8"));
    CHECK(contiguous_strides({2, 3, 4}) == Shape{12, 4, 1});
    CHECK(contiguous_strides({int64_t{1} << 62, 0, int64_t{1} << 62}) == Shape{1, 1, 1});
    CHECK(has(error_of([] { contiguous_strides({1, INT64_MAX, INT64_MAX}); }), "does not fit 64 bits"));
}

TEST_CASE("broadcast and normalize_dim") {
    CHECK(broadcast({3, 1}, {4}, "add") == Shape{3, 4});
    CHECK(broadcast({}, {2, 3}, "add") == Shape{2, 3});
    CHECK(broadcast({1, 0}, {5, 1}, "add") == Shape{5, 0});
    CHECK(error_of([] {
              broadcast({2, 3}, {2, 4}, "add");
          }) == "[add] shapes cannot be broadcast together: (2, 3) and (2, 4)");
    CHECK(has(error_of([] { broadcast({0}, {2}, "mul"); }), "[mul]"));
    CHECK(normalize_dim(-1, 3, "x") == 2);
    CHECK(normalize_dim(0, 1, "x") == 0);
    CHECK(error_of([] { normalize_dim(2, 2, "sum"); }) == "[sum] dimension must be in [-2, 2): got 2");
    CHECK(has(error_of([] { normalize_dim(0, 0, "sum"); }), "[sum]"));
}

TEST_CASE("promote: same, float over integer over bool, wider, f16 with bf16 gives f32") {
    const DType order[] = {DType::boolean, DType::u8, DType::i32, DType::i64};
    const DType floats[] = {DType::f16, DType::bf16, DType::f32, DType::f64};
    for (size_t i = 0; i < 4; ++i) {
        for (size_t j = 0; j < 4; ++j) {
            CHECK(promote(order[i], order[j]) == order[std::max(i, j)]);
            CHECK(promote(order[i], floats[j]) == floats[j]);
            CHECK(promote(floats[j], order[i]) == floats[j]);
            const bool mixed = i != j && i < 2 && j < 2;
            CHECK(promote(floats[i], floats[j]) == (mixed ? DType::f32 : floats[std::max(i, j)]));
        }
    }
    std::string names;
    for (int d = 0; d < 8; ++d) names += std::string(name(static_cast<DType>(d))) + ' ';
    CHECK(names == "f16 bf16 f32 f64 i32 i64 u8 bool ");
    CHECK(size_of(DType::boolean) == 1);
    CHECK(is_float(DType::bf16));
    CHECK_FALSE(is_int(DType::boolean));
}
