#include "examples/common/report/curve.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "examples/common/format.h"

namespace demi::examples::report {
namespace {

constexpr size_t kPoints = 240;

// Mean over a window around each value, which steps over gaps and is cut off at the ends.
std::vector<double> window_mean(const std::vector<double>& y, size_t radius) {
    std::vector<double> sums{0}, counts{0};
    for (const double v : y) {
        sums.push_back(sums.back() + (std::isfinite(v) ? v : 0));
        counts.push_back(counts.back() + (std::isfinite(v) ? 1 : 0));
    }
    std::vector<double> out;
    for (size_t i = 0; i < y.size(); ++i) {
        const size_t first = i - std::min(i, radius), last = std::min(i + radius + 1, y.size());
        out.push_back(std::isfinite(y[i]) ? (sums[last] - sums[first]) / (counts[last] - counts[first])
                                          : y[i]);
    }
    return out;
}

// Twice, so that the weights fall off towards the ends of the window.
std::vector<double> smoothed(const std::vector<double>& y) {
    const size_t radius = std::max<size_t>(1, y.size() / 80);
    return window_mean(window_mean(y, radius), radius);
}

// Calls fn(first, last) for each of at most kPoints stretches.
template <class Fn> void for_stretches(size_t count, Fn fn) {
    const size_t stretches = std::min(count, kPoints);
    for (size_t i = 0; i < stretches; ++i) fn(i * count / stretches, (i + 1) * count / stretches);
}

// The last finite value of each stretch, so that the very last value is always there.
void thin(const std::vector<double>& x, const std::vector<double>& y, Curve& curve) {
    for_stretches(y.size(), [&](size_t first, size_t last) {
        size_t at = last - 1;
        while (at > first && !std::isfinite(y[at])) --at;
        if (!std::isfinite(y[at])) at = last - 1;
        curve.x.push_back(x[at]);
        curve.y.push_back(y[at]);
    });
}

void thin_extremes(const std::vector<double>& x, const std::vector<double>& y, Curve& curve) {
    for_stretches(y.size(), [&](size_t first, size_t last) {
        size_t least = first, most = first;
        for (size_t i = first; i < last; ++i) {
            if (!std::isfinite(y[i])) continue;
            if (!std::isfinite(y[least]) || y[i] < y[least]) least = i;
            if (!std::isfinite(y[most]) || y[i] > y[most]) most = i;
        }
        curve.raw_x.push_back(x[std::min(least, most)]);
        curve.raw_y.push_back(y[std::min(least, most)]);
        if (least == most) return;
        curve.raw_x.push_back(x[std::max(least, most)]);
        curve.raw_y.push_back(y[std::max(least, most)]);
    });
}

std::string value_text(double value, bool as_percent) {
    return as_percent ? percent(value) : significant(value, 4);
}

}  // namespace

Curve make_curve(const Series& series) {
    const size_t count = std::min(series.x.size(), series.y.size());
    const std::vector<double> x(series.x.begin(), series.x.begin() + static_cast<std::ptrdiff_t>(count));
    const std::vector<double> y(series.y.begin(), series.y.begin() + static_cast<std::ptrdiff_t>(count));
    Curve curve;
    curve.name = series.name;
    for (size_t i = 0; i < count; ++i) {
        if (std::isfinite(y[i])) continue;
        if (curve.gaps++ == 0) curve.first_gap = x[i];
    }
    const bool smooth = series.smooth && count >= 20;
    thin(x, smooth ? smoothed(y) : y, curve);
    if (smooth) thin_extremes(x, y, curve);
    return curve;
}

std::string last_value(const Curve& curve, bool as_percent) {
    return curve.y.empty() ? "–" : value_text(curve.y.back(), as_percent);
}

std::string described(const Curve& curve, bool as_percent) {
    if (curve.y.empty()) return "no values";
    if (curve.y.size() == 1) return value_text(curve.y[0], as_percent);
    return "from " + value_text(curve.y.front(), as_percent) + " to " +
           value_text(curve.y.back(), as_percent);
}

}  // namespace demi::examples::report
