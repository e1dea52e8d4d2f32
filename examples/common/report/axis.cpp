#include "examples/common/report/axis.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "examples/common/format.h"

namespace demi::examples::report {
namespace {

constexpr int kTicks = 5;

double nice_step(double span) {
    const double raw = span / kTicks;
    const double power = std::pow(10, std::floor(std::log10(raw)));
    for (const double factor : {1.0, 2.0, 5.0})
        if (raw <= factor * power * 1.0001) return factor * power;
    return 10 * power;
}

Axis linear_axis(double low, double high, AxisKind kind) {
    const bool widen = kind == AxisKind::widened;
    if (!(high - low > 1e-9 * std::max(std::fabs(low), std::fabs(high)))) {
        const double room = low == 0 || kind == AxisKind::whole ? 0.5 : std::fabs(low) * 0.1;
        low -= room;
        high += room;
    }
    const double step =
        kind == AxisKind::whole ? std::max(nice_step(high - low), 1.0) : nice_step(high - low);
    const double first = widen ? std::floor(low / step + 1e-6) : std::ceil(low / step - 1e-6);
    Axis axis{low, high, false, {}};
    for (int i = 0; i <= 3 * kTicks; ++i) {
        const double tick = (first + i) * step;
        if (!widen && tick > high + step * 1e-6) break;
        axis.ticks.push_back(tick);
        if (widen && tick >= high - step * 1e-6) break;
    }
    if (widen) {
        axis.low = axis.ticks.front();
        axis.high = axis.ticks.back();
    }
    return axis;
}

Axis log_axis(double low, double high) {
    if (high < low * 1.5) {
        low /= 1.5;
        high *= 1.5;
    }
    Axis axis{low / 1.1, high * 1.1, true, {}};
    const int first = static_cast<int>(std::floor(std::log10(axis.low)));
    const int last = static_cast<int>(std::ceil(std::log10(axis.high)));
    const int every = std::max(1, (last - first) / 6);
    const bool between = axis.high / axis.low < 300;
    for (int e = first; e <= last; e += every)
        for (const double factor : {1.0, 2.0, 5.0}) {
            const double tick = factor * std::pow(10, e);
            if ((factor == 1 || between) && tick >= axis.low && tick <= axis.high) axis.ticks.push_back(tick);
        }
    return axis;
}

}  // namespace

double Axis::position(double value) const {
    if (logarithmic) return std::log(value / low) / std::log(high / low);
    return (value - low) / (high - low);
}

Axis make_axis(const std::vector<double>& values, AxisKind kind) {
    // Far beyond any curve worth drawing, and far enough inside the range of double for the sums here.
    constexpr double kMost = 1e100, kLeast = 1e-100;
    const bool logarithmic = kind == AxisKind::logarithmic;
    if (values.empty()) return logarithmic ? log_axis(0.1, 1) : linear_axis(0, 1, kind);
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    if (logarithmic) return log_axis(std::clamp(*least, kLeast, kMost), std::clamp(*most, kLeast, kMost));
    const auto bounded = [=](double v) { return std::fabs(v) < kLeast ? 0 : std::clamp(v, -kMost, kMost); };
    return linear_axis(bounded(*least), bounded(*most), kind);
}

std::string tick_label(double value, bool as_percent) {
    const double size = std::fabs(value);
    if (as_percent) return significant(value * 100, 4) + " %";
    if (size < 10000 || size >= 1e15) return significant(size < 1e-99 ? 0 : value, 4);
    if (size < 1e6) return significant(value / 1e3, 5) + " k";
    return size < 1e9 ? significant(value / 1e6, 5) + " M" : significant(value / 1e9, 5) + " G";
}

}  // namespace demi::examples::report
