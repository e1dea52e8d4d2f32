#include "ops/patchify/patchify.h"

#include <doctest/doctest.h>

#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace demi::test {
namespace {

// patches(b, grid row and column, (c, y, x)) from an image.
Array reference(const Array& image, int64_t p) {
    const Shape s = image.shape;
    const int64_t across = s[3] / p;
    Array out({s[0], s[2] / p * across, s[1] * p * p});
    for_each_index(out.shape, [&](const Shape& at) {
        const int64_t c = at[2] / (p * p), y = at[2] / p % p, x = at[2] % p;
        out(at) = image({at[0], c, at[1] / across * p + y, at[1] % across * p + x});
    });
    return out;
}

}  // namespace

TEST_CASE("patchify") {
    for (int64_t p : {1, 2, 4, 8})
        check_op({
            .op = "patchify",
            .shapes = {{{1, 1, p, p}},
                       {{0, 3, p, p}},
                       {{2, 3, 2 * p, 3 * p}},
                       {{2, 1, 0, p}},
                       {{3, 2, 5 * p, 4 * p}}},
            .fn = [=](const Vars& x) { return patchify(x[0], p); },
            .reference = [=](const Arrays& x) -> Arrays { return {reference(x[0], p)}; },
        });
}

TEST_CASE("unpatchify is the inverse") {
    check_op({
        .op = "unpatchify",
        .shapes = {{{2, 3, 14, 21}}},
        .fn = [](const Vars& x) { return unpatchify(patchify(x[0], 7), 3, 14, 21, 7); },
        .reference = [](const Arrays& x) -> Arrays { return {x[0]}; },
    });
    Generator generator{2};
    Tensor patches = Tensor::empty({2, 6, 12});
    normal(patches, generator);
    const Variable image = unpatchify(patches, 3, 4, 6, 2);
    CHECK(image.shape() == Shape{2, 3, 4, 6});
    CHECK(same_bits(patchify(image, 2).value(), patches) == "");
    const Tensor bytes = Tensor::arange(16, DType::u8).view({1, 1, 4, 4});
    CHECK(patchify(bytes, 2).value().to_vector<double>() ==
          std::vector<double>{0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15});
}

TEST_CASE("patchify refuses") {
    CHECK_THROWS_WITH_AS(
        patchify(Tensor::zeros({1, 3, 30, 32}), 16),
        "[patchify] height and width must be multiples of the patch size 16: got 3 x 30 x 32", Error);
    CHECK_THROWS_AS(patchify(Tensor::zeros({3, 32, 32}), 16), Error);
    CHECK_THROWS_AS(patchify(Tensor::zeros({1, 3, 32, 32}), 0), Error);
    CHECK_THROWS_AS(unpatchify(Tensor::zeros({1, 4, 12}), 3, 4, 6, 2), Error);
    CHECK_THROWS_AS(unpatchify(Tensor::zeros({4, 12}), 3, 4, 4, 2), Error);
}

}  // namespace demi::test
