#include <algorithm>
#include <cmath>
#include <cstdio>

#include "examples/common/format.h"
#include "examples/common/report/axis.h"
#include "examples/common/report/curve.h"
#include "examples/common/report/sections.h"
#include "examples/common/text.h"

namespace demi::examples::report {
namespace {

// The picture's own units; about one to a CSS pixel, so that text keeps its size.
constexpr double kWidth = 440, kHeight = 236, kLeft = 50, kRight = 424, kTop = 10, kBottom = 200;

std::string unit(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", value);
    return text;
}

struct Frame {
    Axis x, y;
    bool percent = false;

    double px(double v) const { return kLeft + x.position(v) * (kRight - kLeft); }
    double py(double v) const { return kBottom - y.position(v) * (kBottom - kTop); }
    // Beyond the axis' bounds lies only what make_axis refused to follow.
    bool shows(double a, double b) const {
        if (!std::isfinite(a) || !std::isfinite(b) || (y.logarithmic && b <= 0)) return false;
        return std::fabs(y.position(b)) < 2 && std::fabs(x.position(a)) < 2;
    }
};

std::string path_of(const std::vector<double>& x, const std::vector<double>& y, const Frame& frame) {
    std::string d;
    bool pen_down = false;
    for (size_t i = 0; i < x.size(); ++i) {
        const bool shown = frame.shows(x[i], y[i]);
        if (shown) d += (pen_down ? "L" : "M") + unit(frame.px(x[i])) + " " + unit(frame.py(y[i]));
        pen_down = shown;
    }
    return d;
}

void add_axes(std::string& out, const Frame& frame, const std::string& x_label) {
    out += "<g class=grid>";
    for (const double tick : frame.y.ticks)
        out += "<path d=\"M" + unit(kLeft) + " " + unit(frame.py(tick)) + "H" + unit(kRight) + "\"/>";
    out += "</g><g class=ticks>";
    for (const double tick : frame.y.ticks)
        out += "<text x=" + unit(kLeft - 6) + " y=" + unit(frame.py(tick) + 4) + " text-anchor=end>" +
               tick_label(tick, frame.percent) + "</text>";
    for (const double tick : frame.x.ticks)
        out += "<text x=" + unit(frame.px(tick)) + " y=" + unit(kBottom + 16) + " text-anchor=middle>" +
               tick_label(tick, false) + "</text>";
    out += "<text x=" + unit(kRight) + " y=" + unit(kBottom + 31) + " text-anchor=end>" +
           html_escape(x_label) + "</text></g>";
}

void add_curve(std::string& out, const Curve& curve, const Frame& frame, size_t index) {
    const std::string colour = "s" + std::to_string(index % 6);
    if (!curve.raw_x.empty())
        out += "<path class=\"raw " + colour + "\" d=\"" + path_of(curve.raw_x, curve.raw_y, frame) + "\"/>";
    out += "<path class=\"line " + colour + "\" d=\"" + path_of(curve.x, curve.y, frame) + "\"/>";
    if (curve.x.size() > 30) return;
    out += "<g class=\"dots " + colour + "\">";
    for (size_t i = 0; i < curve.x.size(); ++i)
        if (frame.shows(curve.x[i], curve.y[i]))
            out +=
                "<circle cx=" + unit(frame.px(curve.x[i])) + " cy=" + unit(frame.py(curve.y[i])) + " r=3 />";
    out += "</g>";
}

void add_level(std::string& out, const Chart::Level& level, const Frame& frame) {
    if (!frame.shows(frame.x.low, level.y)) return;
    const double y = frame.py(level.y);
    out += "<path class=level d=\"M" + unit(kLeft) + " " + unit(y) + "H" + unit(kRight) +
           "\"/><text class=level x=" + unit(kRight) + " y=" + unit(y < kTop + 12 ? y + 13 : y - 5) +
           " text-anchor=end>" + html_escape(level.name) + "</text>";
}

void add_picture(std::string& out, const Chart& chart, const std::vector<Curve>& curves, const Frame& frame) {
    std::string summary = chart.title + (frame.y.logarithmic ? ", logarithmic" : "") + ".";
    for (const Curve& c : curves) summary += " " + c.name + ": " + described(c, chart.percent) + ".";
    out += "<svg viewBox=\"0 0 " + unit(kWidth) + " " + unit(kHeight) +
           "\" role=img tabindex=0 aria-label=\"" + html_escape(summary) + "\"" +
           (frame.y.logarithmic ? " class=off data-log=1" : "") + " data-y=\"" + shortest(frame.y.low) + " " +
           shortest(frame.y.high) + "\">";
    add_axes(out, frame, chart.x_label);
    for (const Chart::Level& level : chart.levels) add_level(out, level, frame);
    for (size_t i = 0; i < curves.size(); ++i) add_curve(out, curves[i], frame, i);
    out += "<g class=cursor></g></svg>";
}

Frame frame_of(const Chart& chart, const std::vector<Curve>& curves, bool logarithmic) {
    std::vector<double> x, y;
    bool whole = true;
    const auto take = [&](const std::vector<double>& xs, const std::vector<double>& ys) {
        for (size_t i = 0; i < xs.size(); ++i) {
            if (!std::isfinite(xs[i]) || !std::isfinite(ys[i]) || (logarithmic && ys[i] <= 0)) continue;
            x.push_back(xs[i]);
            y.push_back(ys[i]);
            whole = whole && xs[i] == std::floor(xs[i]);
        }
    };
    for (const Curve& c : curves) {
        take(c.x, c.y);
        take(c.raw_x, c.raw_y);
    }
    for (const Chart::Level& level : chart.levels)
        if (std::isfinite(level.y) && (!logarithmic || level.y > 0)) y.push_back(level.y);
    Frame frame{make_axis(x, whole ? AxisKind::whole : AxisKind::tight),
                make_axis(y, logarithmic ? AxisKind::logarithmic : AxisKind::widened), chart.percent};
    // No fraction exceeds 100 %, so the axis does not either.
    const bool fraction =
        chart.percent && !logarithmic && !y.empty() && *std::max_element(y.begin(), y.end()) <= 1;
    if (fraction && frame.y.high > 1) frame.y = make_axis({frame.y.low, 1.0}, AxisKind::widened);
    return frame;
}

// What the script needs to show values under the pointer.
void add_data(std::string& out, const Chart& chart, const std::vector<Curve>& curves, const Axis& x) {
    out += "<script type=\"application/json\">{\"box\":[" + unit(kLeft) + "," + unit(kTop) + "," +
           unit(kRight) + "," + unit(kBottom) + "],\"x\":[" + shortest(x.low) + "," + shortest(x.high) +
           "],\"xlabel\":" + json_quote(chart.x_label) +
           ",\"percent\":" + (chart.percent ? "true" : "false") + ",\"series\":[";
    const auto list = [](const std::vector<double>& values) {
        std::string text = "[";
        for (const double v : values)
            text +=
                (text.size() > 1 ? "," : "") + (std::isfinite(v) ? significant(v, 6) : std::string("null"));
        return text + "]";
    };
    for (size_t i = 0; i < curves.size(); ++i)
        out += (i > 0 ? ",{\"name\":" : "{\"name\":") + json_quote(curves[i].name) +
               ",\"x\":" + list(curves[i].x) + ",\"y\":" + list(curves[i].y) + "}";
    out += "]}</script>";
}

void add_chart(std::string& out, const Chart& chart) {
    std::vector<Curve> curves;
    for (const Series& s : chart.series) curves.push_back(make_curve(s));
    const Frame linear = frame_of(chart, curves, false);
    out += "<figure class=\"card chart\"><figcaption><h3>" + html_escape(chart.title) + "</h3>";
    if (chart.log_option) out += "<button type=button aria-pressed=false hidden>log scale</button>";
    out += "</figcaption><ul class=legend>";
    std::string gaps;
    for (size_t i = 0; i < curves.size(); ++i) {
        const Curve& c = curves[i];
        out += "<li class=s" + std::to_string(i % 6) + ">" + html_escape(c.name) + " <b>" +
               last_value(c, chart.percent) + "</b></li>";
        if (c.gaps == 0) continue;
        gaps += "<p class=bad>" + html_escape(c.name) + ": " + grouped(c.gaps) +
                (c.gaps == 1 ? " value is" : " values are") + " NaN or infinite, the first at " +
                html_escape(chart.x_label) + " " + significant(c.first_gap, 8) + ".</p>";
    }
    out += "</ul><div class=plot>";
    add_picture(out, chart, curves, linear);
    if (chart.log_option) add_picture(out, chart, curves, frame_of(chart, curves, true));
    out += "<div class=tip></div></div>" + gaps;
    add_data(out, chart, curves, linear.x);
    out += "</figure>";
}

}  // namespace

void add_charts(std::string& out, const Report& report) {
    if (report.charts.empty()) return;
    begin_section(out, "curves", "Curves");
    out += "<div class=charts>";
    for (const Chart& chart : report.charts) add_chart(out, chart);
    out += "</div>";
    end_section(out);
}

}  // namespace demi::examples::report
