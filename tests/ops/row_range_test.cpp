// Kernels of rows at the ends of the range and with hardly any digits to them, against long double.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "ops/ops.h"
#include "tests/ops/extremes.h"
#include "tests/support/device.h"
#include "tests/support/env.h"

namespace demi::test {
namespace {

constexpr DType kFloats[] = {DType::f32, DType::bf16, DType::f16, DType::f64};

std::vector<double> normals(int64_t count, uint64_t seed) {
    Generator generator{seed};
    Tensor t = Tensor::empty({count}, DType::f64);
    normal(t, generator);
    return t.to_vector<double>();
}

// Noise of many sizes, alone and around a centre that swallows it, constant rows, a few large numbers among small ones.
std::vector<std::vector<double>> rows_of(int64_t width, DType dtype) {
    const std::vector<double> noise = normals(width, 5);
    std::vector<std::vector<double>> rows;
    const auto add = [&](auto&& fn) {
        std::vector<double> row;
        for (int64_t i = 0; i < width; ++i) row.push_back(std::clamp(fn(i), -largest(dtype), largest(dtype)));
        rows.push_back(Tensor::from(row, {width}).to(dtype).to_vector<double>());
    };
    for (double size : {1.0, 1e-45, 1e-41, 1e-38, 1e-30, 1e-19, 1e-7, 1e19, 1e20, 1e30, 7e37, 2e38, 1e-310,
                        1e-200, 1e200, 1e308})
        add([&](int64_t i) { return noise[static_cast<size_t>(i)] * size; });
    for (double centre : {2000.0, -1e4, 0.3, 1e10, 3e38})
        for (double size : {5e-4, 1e-6, 1e-7})
            add([&](int64_t i) { return centre + centre * size * noise[static_cast<size_t>(i)]; });
    for (double c : {0.0, 12345.678, 3.3, 14.0, -7.7e-5, 1e-30, 1e-42, 1e30, 3e38, 1e300})
        add([&](int64_t) { return c; });
    add([&](int64_t i) { return i % 17 == 3 ? 1e38 : noise[static_cast<size_t>(i)]; });
    add([&](int64_t i) { return i % 2 == 0 ? 3.4e38 : -3.4e38; });
    add([&](int64_t i) { return i == 0 ? 1e4 : 1e-3 * noise[static_cast<size_t>(i)]; });
    return rows;
}

// A gradient of a row: noise of many sizes and constants.
std::vector<std::vector<double>> grads_of(int64_t width, DType dtype) {
    const std::vector<double> noise = normals(width, 9);
    std::vector<std::vector<double>> rows;
    for (double size : {1.0, 1e-30, 1e30, 1e38, 0.0}) {
        rows.emplace_back();
        for (double v : noise) rows.back().push_back(std::clamp(v * size, -largest(dtype), largest(dtype)));
    }
    for (double c : {1.0, 0.3, 3e38})
        rows.emplace_back(static_cast<size_t>(width), std::min(c, largest(dtype)));
    for (auto& row : rows) row = Tensor::from(row, {width}).to(dtype).to_vector<double>();
    return rows;
}

// fn on every row with every gradient: want(x, dy) gives y and dx.
struct Row {
    std::vector<Wanted> y, dx;
};
using RowOracle = std::function<Row(const std::vector<double>& x, const std::vector<double>& dy)>;

void check_rows(const OpFunction& fn, DType dtype, const RowOracle& want, double rtol) {
    for (int64_t width : {1, 2, 7, 33, 192, 1023, 1024, 5000}) {
        if (width > 1000 && quick()) continue;
        CAPTURE(name(dtype));
        CAPTURE(width);
        std::vector<double> xs, dys;
        Row all;
        Sample taken(7);
        const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
        for (const auto& x : rows_of(width, dtype))
            for (const auto& dy : grads_of(width, dtype)) {
                if (!taken()) continue;
                const Row row = want(x, dy);
                append(xs, x), append(dys, dy), append(all.y, row.y), append(all.dx, row.dx);
            }
        const Shape shape{static_cast<int64_t>(xs.size()) / width, width};
        const Variable x(Tensor::from(xs, shape).to(dtype).to(test_device()), true);
        const Variable y = fn({x})[0];
        y.backward(Tensor::from(dys, shape).to(dtype).to(test_device()));
        CHECK(near(y.value(), all.y, rtol) == "");
        CHECK(near(x.grad(), all.dx, rtol) == "");
    }
}

template <class F> Wide mean_of(size_t width, F&& term) {
    Wide sum = 0;
    for (size_t i = 0; i < width; ++i) sum += term(i);
    return sum / static_cast<Wide>(width);
}

}  // namespace

TEST_CASE("row range: layernorm") {
    for (DType dtype : kFloats)
        for (double eps : {1e-6, 0.0}) {
            CAPTURE(eps);
            const Wide one = dtype == DType::f64 ? 2e-13 : 4e-6, round = static_cast<Wide>(unit(dtype));
            const RowOracle want = [=](const std::vector<double>& x, const std::vector<double>& dy) {
                const size_t width = x.size();
                // From the first element, or the centre would cost the oracle digits too.
                const auto from = [&](size_t i) { return static_cast<Wide>(x[i]) - x[0]; };
                const Wide m = mean_of(width, from);
                const Wide v = mean_of(width, [&](size_t i) { return (from(i) - m) * (from(i) - m); });
                const bool constant = std::all_of(x.begin(), x.end(), [&](double a) { return a == x[0]; });
                const Wide r = v + eps > 0 ? 1 / std::sqrt(v + static_cast<Wide>(eps)) : 0;
                const auto normal = [&](size_t i) -> Wide { return constant ? 0 : (from(i) - m) * r; };
                const Wide a = mean_of(width, [&](size_t i) { return static_cast<Wide>(dy[i]); });
                const Wide b = mean_of(width, [&](size_t i) { return dy[i] * normal(i); });
                Wide top = 0;
                for (double d : dy) top = std::max(top, std::fabs(static_cast<Wide>(d)));
                const bool flat =
                    constant && std::all_of(dy.begin(), dy.end(), [&](double d) { return d == dy[0]; });
                Row row;
                for (size_t i = 0; i < width; ++i) {
                    const Wide n = normal(i), dx = flat ? 0 : r * (dy[i] - a - n * b);
                    row.y.push_back({n, constant ? 0 : one * (1 + std::fabs(n))});
                    row.dx.push_back(
                        {dx, flat ? 0 : 2 * one * r * top * (1 + std::fabs(n)) + round * std::fabs(dx)});
                }
                return row;
            };
            check_rows([eps](const Vars& x) { return layernorm(x[0], {}, {}, eps); }, dtype, want,
                       unit(dtype));
        }
}

TEST_CASE("row range: l2_normalize") {
    for (DType dtype : kFloats)
        for (double eps : {1e-12, 1.2e-38}) {
            CAPTURE(eps);
            const Wide one = dtype == DType::f64 ? 2e-13 : 3e-6;
            const RowOracle want = [=](const std::vector<double>& x, const std::vector<double>& dy) {
                const size_t width = x.size();
                const Wide norm =
                    std::sqrt(mean_of(width, [&](size_t i) { return static_cast<Wide>(x[i]) * x[i]; }) *
                              static_cast<Wide>(width));
                const bool free = norm > eps;
                const Wide d = free ? norm : static_cast<Wide>(eps);
                const Wide dot =
                    mean_of(width, [&](size_t i) { return x[i] / d * dy[i]; }) * static_cast<Wide>(width);
                Wide top = 0;
                for (double v : dy) top = std::hypot(top, static_cast<Wide>(v));
                Row row;
                for (size_t i = 0; i < width; ++i) {
                    const Wide y = x[i] / d;
                    row.y.push_back({y, free ? one * std::fabs(y) : 0});
                    row.dx.push_back({(dy[i] - (free ? y * dot : 0)) / d, 7 * one * top * std::fabs(y) / d});
                }
                return row;
            };
            check_rows([eps](const Vars& x) { return l2_normalize(x[0], eps); }, dtype, want,
                       2 * unit(dtype));
        }
}

TEST_CASE("row range: softmax and log_softmax") {
    for (DType dtype : kFloats)
        for (const bool log : {false, true}) {
            CAPTURE(log);
            const Wide one = dtype == DType::f64 ? 2e-13 : 5e-6;
            // The gradient starts from y as it was rounded.
            const Wide kept = is_half(dtype) ? 2 * static_cast<Wide>(unit(dtype)) : one,
                       least = smallest(dtype);
            const RowOracle want = [=](const std::vector<double>& x, const std::vector<double>& dy) {
                const size_t width = x.size();
                const Wide m = *std::max_element(x.begin(), x.end());
                Wide sum = 0, total = 0, dot = 0, top = 0;
                for (double v : x) sum += std::exp(v - m);
                for (size_t i = 0; i < width; ++i) {
                    total += dy[i];
                    dot += std::exp(x[i] - m) / sum * dy[i];
                    top = std::max(top, std::fabs(static_cast<Wide>(dy[i])));
                }
                Row row;
                for (size_t i = 0; i < width; ++i) {
                    const Wide p = std::exp(x[i] - m) / sum, l = x[i] - m - std::log(sum);
                    row.y.push_back({log ? l : p, log ? one * (1 + std::fabs(l)) : one});
                    const Wide n = static_cast<Wide>(width);
                    row.dx.push_back(
                        log ? Wanted{dy[i] - p * total, n * kept * (1 + std::fabs(l)) * p * top}
                            : Wanted{p * (dy[i] - dot), (3 * p * kept + (2 + p * n) * least) * top});
                }
                return row;
            };
            check_rows([log](const Vars& x) { return log ? log_softmax(x[0]) : softmax(x[0]); }, dtype, want,
                       2 * unit(dtype));
        }
}

// Logits and targets of one row.
struct Entropy {
    std::vector<double> x, target;
    int64_t label;
    double dloss;
};

// Logits of many sizes with none, some or all of them -infinity; targets with zeros, tiny ones, all zeros, one-hot ones.
std::vector<Entropy> entropies(int64_t width, DType dtype) {
    const std::vector<double> noise = normals(4 * width, 3);
    std::vector<Entropy> out;
    for (double size : {1.0, 1e4, 2e38, 1e308})
        for (int masked = 0; masked < 3; ++masked)
            for (int kind = 0; kind < 5; ++kind)
                for (double dloss : {1.0, 0.0, 1e-20, 1e30}) {
                    Entropy e{{}, {}, (kind * 7) % width, dloss};
                    for (int64_t i = 0; i < width; ++i) {
                        const double v = noise[static_cast<size_t>(i)];
                        const bool off = masked == 2 || (masked == 1 && i % 3 == 1);
                        e.x.push_back(off ? -INFINITY
                                          : std::clamp(v * size, -largest(dtype), largest(dtype)));
                        const double p =
                            std::fabs(noise[static_cast<size_t>(width + i)]) / static_cast<double>(width);
                        e.target.push_back(kind == 0   ? p
                                           : kind == 1 ? (off ? 0 : p)
                                           : kind == 2 ? 0
                                           : kind == 3 ? 1e-30 * p
                                                       : (i == e.label ? 1 : 0));
                    }
                    e.x = Tensor::from(e.x, {width}).to(dtype).to_vector<double>();
                    if (dtype != DType::f64)
                        e.target = Tensor::from(e.target, {width}).to(DType::f32).to_vector<double>();
                    out.push_back(e);
                }
    return out;
}

TEST_CASE("row range: cross_entropy") {
    for (DType dtype : kFloats)
        for (int64_t width : {1, 2, 3, 33, 1000})
            for (const bool hard : {true, false})
                for (double smoothing : {0.0, 0.125, 1.0}) {
                    if (width > 100 && quick()) continue;
                    CAPTURE(name(dtype));
                    CAPTURE(width);
                    CAPTURE(hard);
                    CAPTURE(smoothing);
                    const Wide one = dtype == DType::f64 ? 1e-14 : 5e-6, s = smoothing;
                    const DType wide = dtype == DType::f64 ? DType::f64 : DType::f32;
                    std::vector<double> xs, ts, dlosses;
                    std::vector<int64_t> labels;
                    std::vector<Wanted> losses, dxs, dts;
                    Sample taken(7);
                    for (const Entropy& e : entropies(width, dtype)) {
                        if (!taken()) continue;
                        const size_t n = e.x.size();
                        const Wide m = *std::max_element(e.x.begin(), e.x.end()), dloss = e.dloss;
                        const bool masked = m == -INFINITY;
                        Wide sum = 0, loss = 0, weights = 0, size = 0;
                        for (double v : e.x) sum += masked ? 1 : std::exp(v - m);
                        const auto target = [&](size_t i) -> Wide {
                            return hard ? static_cast<int64_t>(i) == e.label : e.target[i];
                        };
                        const auto away = [&](size_t i) -> Wide {  // -log p
                            return e.x[i] == -INFINITY ? INFINITY : (m - e.x[i]) + std::log(sum);
                        };
                        for (size_t i = 0; i < n; ++i) {
                            const Wide weight = (1 - s) * target(i) + s / static_cast<Wide>(n);
                            if (weight == 0) continue;
                            weights += weight;
                            loss += weight * away(i);
                            if (std::isfinite(away(i))) size += weight * (1 + away(i));
                        }
                        losses.push_back({loss, one * size});
                        for (size_t i = 0; i < n; ++i) {
                            const Wide weight = (1 - s) * target(i) + s / static_cast<Wide>(n);
                            const Wide p = masked ? 0 : std::exp(e.x[i] - m) / sum,
                                       l = std::isfinite(away(i)) ? away(i) : 0;
                            const Wide factor = dloss * (1 - s);
                            dxs.push_back({masked ? 0 : dloss * (p * weights - weight),
                                           one * dloss * (p * weights * (1 + l) + weight)});
                            const bool zero = !std::isfinite(away(i)) && (target(i) == 0 || factor == 0);
                            dts.push_back({zero ? 0 : factor * away(i), one * factor * (1 + l)});
                        }
                        xs.insert(xs.end(), e.x.begin(), e.x.end());
                        ts.insert(ts.end(), e.target.begin(), e.target.end());
                        labels.push_back(e.label);
                        dlosses.push_back(e.dloss);
                    }
                    const auto rows = static_cast<int64_t>(labels.size());
                    const auto there = [](const Tensor& t) { return t.to(test_device()); };
                    const Variable x(there(Tensor::from(xs, {rows, width}).to(dtype)), true);
                    const Variable t = hard ? Variable(there(Tensor::from(labels, {rows})))
                                            : Variable(there(Tensor::from(ts, {rows, width}).to(wide)), true);
                    const CrossEntropyOptions options{.label_smoothing = smoothing,
                                                      .reduction = Reduction::none};
                    const Variable loss = cross_entropy(x, t, options);
                    loss.backward(there(Tensor::from(dlosses, {rows}).to(wide)));
                    CHECK(near(loss.value(), losses, 1e-6) == "");
                    CHECK(near(x.grad(), dxs, unit(dtype)) == "");
                    if (!hard) CHECK(near(t.grad(), dts, 1e-6) == "");
                }
}

}  // namespace demi::test
