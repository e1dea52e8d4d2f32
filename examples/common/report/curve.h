#pragma once

// A series made ready for drawing: thinned out, smoothed when asked, its gaps counted.

#include <cstdint>
#include <string>
#include <vector>

#include "examples/common/report.h"

namespace demi::examples::report {

struct Curve {
    std::string name;
    std::vector<double> x, y;  // at most a few hundred points; NaN marks a gap
    std::vector<double> raw_x,
        raw_y;             // the faint line behind a smoothed one: least and largest value per stretch
    int64_t gaps = 0;      // values that were NaN or infinite
    double first_gap = 0;  // x of the first of them
};

Curve make_curve(const Series& series);

std::string last_value(const Curve& curve, bool percent);  // "0.0312", a dash without any
std::string described(const Curve& curve, bool percent);   // for screen readers: "from 2.3 to 0.0312"

}  // namespace demi::examples::report
