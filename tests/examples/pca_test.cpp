#include "examples/common/pca.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/check_error.h"

using namespace demi::examples;
using namespace demi::test;

TEST_CASE("colours follow the directions of largest variance") {
    // Two hidden factors, the first one ten times the second, spread over five features.
    const int count = 400, dim = 5;
    std::vector<float> features, first, second;
    for (int r = 0; r < count; ++r) {
        first.push_back(std::sin(0.37f * float(r)));
        second.push_back(std::cos(1.13f * float(r)));
        for (int c = 0; c < dim; ++c)
            features.push_back(7 + 10 * first.back() * float(c + 1) + second.back() * (c % 2 ? 1.0f : -1.0f));
    }
    const std::vector<float> rgb = pca_colours(features.data(), count, dim);
    REQUIRE(rgb.size() == 3 * count);
    const auto correlation = [&](const std::vector<float>& factor, size_t k) {
        double ab = 0, aa = 0, bb = 0, ma = 0, mb = 0;
        for (size_t r = 0; r < factor.size(); ++r) {
            ma += factor[r] / count;
            mb += rgb[3 * r + k] / count;
        }
        for (size_t r = 0; r < factor.size(); ++r) {
            const double a = factor[r] - ma, b = rgb[3 * r + k] - mb;
            ab += a * b;
            aa += a * a;
            bb += b * b;
        }
        return std::fabs(ab / std::sqrt(aa * bb));
    };
    CHECK(correlation(first, 0) > 0.99);
    CHECK(correlation(second, 1) > 0.95);
    for (const float v : rgb) CHECK((v >= 0 && v <= 1));
    CHECK(rgb == pca_colours(features.data(), count, dim));
}

TEST_CASE("degenerate features give colours too") {
    const std::vector<float> constant(40, 3.0f);
    CHECK(pca_colours(constant.data(), 10, 4) == std::vector<float>(30, 0.5f));
    const float odd[] = {NAN, 1, INFINITY, 2};
    for (const float v : pca_colours(odd, 4, 1)) CHECK((v >= 0 && v <= 1));
    CHECK(pca_colours(odd, 1, 2).size() == 3);
    CHECK(pca_colours(odd, 0, 2).empty());
    CHECK(has(error_of([&] { pca_colours(odd, 2, 0); }), "[pca]"));
}
