#pragma once
// Charts as SVG for the boundary study.
#include <string>
#include <vector>

namespace demi::examples::study {

struct Line {
    std::string name;
    int color = 0;  // style class s0 .. s5
    std::vector<double> x, y;
};

struct Axis {
    std::string label;
    double low = 0, high = 1;
    bool logarithmic = false;  // low and high are powers of ten
    bool percent = false;
    double width = 560;  // of the whole chart, for an x axis
};

// Values outside an axis are cut at its end; what is not finite leaves a gap.
std::string line_chart(const std::string& title, const Axis& x, const Axis& y,
                       const std::vector<Line>& lines);

// Points (sent, came) with the line where they would be equal.
std::string scatter(const std::string& title, int color, double x_reach, double y_reach,
                    const std::vector<float>& sent, const std::vector<float>& came);

// How often values lie in each of many narrow bins over [-reach, reach].
std::string histogram(const std::string& title, const std::string& note, int color, double reach,
                      const std::vector<float>& values);

// A cell for each element: 0 finite, 1 infinite, 2 NaN.
std::string cells(const std::string& title, int rows, int columns, const std::vector<int>& kinds);

}  // namespace demi::examples::study
