#include "ops/interpolate_bicubic/interpolate_bicubic.h"

#include <doctest/doctest.h>

#include "tests/ops/extremes.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/op_case.h"

namespace demi::test {
namespace {

// Straight from the description: for every output the weight of every input, as a dense [out, in] matrix.
Array matrix(int64_t in, int64_t out, double scale, bool antialias) {
    const double step = scale > 0 ? 1 / scale : static_cast<double>(in) / static_cast<double>(out);
    const double a = antialias ? -0.5 : -0.75, stretch = antialias ? std::max(step, 1.0) : 1.0;
    const auto cubic = [a](double x) {
        const double x2 = x * x, x3 = x2 * std::fabs(x), d = std::fabs(x);
        if (d < 1) return (a + 2) * x3 - (a + 3) * x2 + 1;
        return d < 2 ? a * x3 - 5 * a * x2 + 8 * a * d - 4 * a : 0;
    };
    Array w({out, in});
    for (int64_t i = 0; i < out; ++i) {
        const double center = step * (static_cast<double>(i) + 0.5) - 0.5;
        double sum = 0;
        // Without antialiasing the border repeats itself outwards; with it, nothing lies outside.
        for (int64_t j = antialias ? 0 : -8; j < (antialias ? in : in + 8); ++j) {
            const double weight = cubic((static_cast<double>(j) - center) / stretch);
            w({i, std::clamp<int64_t>(j, 0, in - 1)}) += weight;
            sum += weight;
        }
        for (int64_t j = 0; j < in; ++j) w({i, j}) /= sum;
    }
    return w;
}

Arrays reference(const Array& x, int64_t out_h, int64_t out_w, const BicubicOptions& o) {
    const Array h = matrix(x.shape[2], out_h, o.scale_h, o.antialias),
                w = matrix(x.shape[3], out_w, o.scale_w, o.antialias);
    Array y({x.shape[0], x.shape[1], out_h, out_w});
    for_each_index(y.shape, [&](const Shape& at) {
        double sum = 0;
        for (int64_t j = 0; j < x.shape[2]; ++j)
            for (int64_t k = 0; k < x.shape[3]; ++k)
                sum += h({at[2], j}) * w({at[3], k}) * x({at[0], at[1], j, k});
        y(at) = sum;
    });
    return {y};
}

void check_sizes(int64_t out_h, int64_t out_w, const BicubicOptions& options) {
    check_op({
        .op = "interpolate_bicubic",
        .shapes = {{{1, 1, 1, 1}}, {{0, 2, 3, 3}}, {{2, 3, 5, 7}}, {{1, 2, 9, 4}}},
        .fn = [=](const Vars& x) { return interpolate_bicubic(x[0], out_h, out_w, options); },
        .reference = [=](const Arrays& x) { return reference(x[0], out_h, out_w, options); },
        .factor = 3,
        .grad_factor = 10,
    });
}

Tensor sample() {
    std::vector<double> values;
    for (int i = 0; i < 12; ++i) values.push_back(i * 7 % 11 - 4);
    return Tensor::from(values, {1, 1, 3, 4});
}

std::string compare_values(const Variable& got, const std::vector<double>& want) {
    return compare(got.value(), Tensor::from(want, got.shape()), {2e-9, 0});
}

}  // namespace

TEST_CASE("interpolate_bicubic") {
    check_sizes(4, 6, {});
    check_sizes(8, 3, {});
    check_sizes(3, 4, {.antialias = true});
    check_sizes(11, 2, {.antialias = true});
}

TEST_CASE("interpolate_bicubic by PyTorch's numbers") {
    const Tensor x = sample();
    CHECK(compare_values(interpolate_bicubic(x, 4, 3),
                         {-3.229567351, 0.964111328, 5.157790007, 0.13488826, 1.151596069, 3.429951421,
                          0.605103104, 2.106719971, -0.529867102, -2.157790007, 3.141159058, -3.867964568}) ==
          "");
    // With a factor the positions follow the factor, not the sizes: (4 + 0.1) / 3 and (5 + 0.1) / 4.
    CHECK(compare_values(interpolate_bicubic(x, 4, 5, {.scale_h = 4.1 / 3, .scale_w = 5.1 / 4}),
                         {-4.956623394, 1.531479656,  1.289650094, -0.224100959, 6.539840716,
                          0.251787224,  -0.854738738, 0.964583469, 3.667869721,  3.498613836,
                          1.230880151,  -0.676940638, 1.76558167,  3.461358626,  -1.216085909,
                          -3.680824374, 2.470883453,  3.307468235, -1.553183534, -4.284744818}) == "");
    CHECK(compare_values(interpolate_bicubic(x, 2, 3, {.antialias = true}),
                         {-1.046842803, 1.139357438, 3.688956147, -0.356634135, 2.096823629, -1.336773786}) ==
          "");
    CHECK(compare_values(interpolate_bicubic(x, 4, 5, {.antialias = true}),
                         {-4.641181114, 1.461272166,  0.973880597, 0.486489028,  6.588942308,
                          0.140138159,  -0.629018472, 1.230063143, 3.402211988,  3.221599086,
                          0.583543211,  -0.18561342,  1.978309167, 2.476714095,  -1.423495179,
                          -3.588942308, 2.513510972,  2.749533582, -1.709798077, -4.434270953}) == "");
    CHECK(compare_values(
              interpolate_bicubic(x, 2, 2, {.scale_h = 2.1 / 3, .scale_w = 2.1 / 4, .antialias = true}),
              {-0.497317031, 2.69013422, 0.556414879, 0.418778023}) == "");
    CHECK(same_bits(interpolate_bicubic(x, 3, 4).value(), x) == "");
    CHECK(same_bits(interpolate_bicubic(x, 3, 4, {.scale_h = 1.1, .scale_w = 1.1, .antialias = true}).value(),
                    x) == "");
}

TEST_CASE("interpolate_bicubic_rows is the same map on a grid of rows") {
    const BicubicOptions options{.scale_h = 4.1 / 3};
    check_op({
        .op = "interpolate_bicubic_rows",
        .shapes = {{{15, 1}}, {{15, 6}}, {{15, 0}}},
        .fn = [=](const Vars& x) { return interpolate_bicubic_rows(x[0], 3, 5, 4, 7, options); },
        .reference = [=](const Arrays& x) -> Arrays {
            const int64_t d = x[0].shape[1];
            Array planes({1, d, 3, 5}), rows({28, d});
            for (int64_t i = 0; i < planes.numel(); ++i) planes[i] = x[0][i % 15 * d + i / 15];
            const Array y = reference(planes, 4, 7, options)[0];
            for (int64_t i = 0; i < rows.numel(); ++i) rows[i % 28 * d + i / 28] = y[i];
            return {rows};
        },
        .factor = 3,
        .grad_factor = 10,
    });
}

TEST_CASE("interpolate_bicubic of numbers near the largest") {
    for (DType dtype : {DType::f32, DType::bf16, DType::f64}) {
        const double top = 0.9 * largest(dtype);
        const Variable x(Tensor::full({1, 1, 5, 5}, top, dtype, test_device()), true);
        for (const bool antialias : {false, true})
            for (double v :
                 interpolate_bicubic(x, 7, 3, {.antialias = antialias}).value().to_vector<double>())
                CHECK(v == doctest::Approx(top).epsilon(is_half(dtype) ? 8e-3 : 1e-6));
    }
}

TEST_CASE("interpolate_bicubic refuses") {
    const Tensor x = sample();
    CHECK_THROWS_WITH_AS(interpolate_bicubic(x, 0, 2),
                         "[interpolate_bicubic] sizes must be at least 1: got 3 x 4 -> 0 x 2", Error);
    CHECK_THROWS_AS(interpolate_bicubic(x.view({3, 4}), 2, 2), Error);
    for (const double scale : {-1.0, -4e-324, 4e-324, 1e-7, 1e7, HUGE_VAL, std::nan("")})
        for (const bool antialias : {false, true})
            CHECK_THROWS_WITH_AS(interpolate_bicubic(x, 2, 2, {.scale_h = scale, .antialias = antialias}),
                                 doctest::Contains("scale factors must be from 2^-20 to 2^20"), Error);
    const Variable column(Tensor::zeros({1, 1, 1 << 16, 1}));
    CHECK_THROWS_WITH_AS(interpolate_bicubic(column, 1 << 15, 1, {.scale_h = 1e-5, .antialias = true}),
                         doctest::Contains("at most 2^26 along an axis"), Error);
    CHECK_THROWS_WITH_AS(interpolate_bicubic_rows(x.view({12, 1}), 3, 3, 2, 2),
                         "[interpolate_bicubic_rows] x must be [3 * 3, D]: got f64 (12, 1) on cpu", Error);
    CHECK_THROWS_AS(interpolate_bicubic_rows(x.view({12, 1}), 0, 4, 2, 2), Error);
}

}  // namespace demi::test
