#pragma once

// A chart's axis: its range, its ticks, and where a value lies on it.

#include <string>
#include <vector>

namespace demi::examples::report {

enum class AxisKind { tight, whole, widened, logarithmic };  // whole: ticks at integers only

struct Axis {
    double low = 0, high = 1;
    bool logarithmic = false;
    std::vector<double> ticks;

    double position(double value) const;  // 0 at low, 1 at high
};

// `values` are finite, and positive for a logarithmic axis; without any, the axis runs from 0 to 1 or from
// 0.1 to 1. A tight axis ends at the least and the largest value, a widened one at the ticks beyond them.
Axis make_axis(const std::vector<double>& values, AxisKind kind);

std::string tick_label(double value, bool percent);

}  // namespace demi::examples::report
