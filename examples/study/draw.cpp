#include "examples/study/draw.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "examples/common/text.h"

namespace demi::examples::study {
namespace {

constexpr double kHeight = 300, kNarrow = 400, kLeft = 58, kRight = 12, kTop = 10, kBottom = 42;

std::string text(const char* format, auto... values) {
    char buffer[256];
    std::snprintf(buffer, sizeof buffer, format, values...);
    return buffer;
}

// Where a value lies on an axis, 0 at low and 1 at high.
double position(const Axis& axis, double v) {
    const double low = axis.logarithmic ? std::log10(axis.low) : axis.low;
    const double high = axis.logarithmic ? std::log10(axis.high) : axis.high;
    return std::clamp(((axis.logarithmic ? std::log10(v) : v) - low) / (high - low), 0.0, 1.0);
}

std::string power_of_ten(int exponent) {
    if (exponent >= 0 && exponent <= 2) return text("%g", std::pow(10.0, exponent));
    return text("10<tspan dy=\"-4\" font-size=\"8\">%s%d</tspan>", exponent < 0 ? "−" : "",
                std::abs(exponent));
}

struct Tick {
    double at;
    std::string label;
};

std::vector<Tick> ticks_of(const Axis& axis) {
    std::vector<Tick> ticks;
    if (axis.logarithmic) {
        const int low = int(std::lround(std::log10(axis.low))),
                  high = int(std::lround(std::log10(axis.high)));
        const int step = high - low > 8 ? 2 : 1;
        for (int e = low; e <= high; e += step) ticks.push_back({std::pow(10.0, e), power_of_ten(e)});
        return ticks;
    }
    for (int i = 0; i <= 4; ++i) {
        const double v = axis.low + (axis.high - axis.low) * i / 4;
        ticks.push_back({v, axis.percent ? text("%g %%", v * 100) : text("%g", v)});
    }
    return ticks;
}

double px(const Axis& axis, double v) { return kLeft + position(axis, v) * (axis.width - kLeft - kRight); }
double py(const Axis& axis, double v) {
    return kHeight - kBottom - position(axis, v) * (kHeight - kTop - kBottom);
}

std::string frame(const Axis& x, const Axis& y) {
    std::string out = "<g class=grid>";
    for (const Tick& t : ticks_of(y))
        out += text("<path d=\"M%.1f %.1fH%.1f\"/>", kLeft, py(y, t.at), x.width - kRight);
    out += "</g><g class=ticks>";
    for (const Tick& t : ticks_of(y))
        out += text("<text text-anchor=end x=\"%.1f\" y=\"%.1f\">", kLeft - 7, py(y, t.at) + 4) + t.label +
               "</text>";
    for (const Tick& t : ticks_of(x))
        out += text("<text text-anchor=middle x=\"%.1f\" y=\"%.1f\">", px(x, t.at), kHeight - kBottom + 17) +
               t.label + "</text>";
    out +=
        text("<text text-anchor=middle x=\"%.1f\" y=\"%.1f\">", (kLeft + x.width - kRight) / 2, kHeight - 7) +
        html_escape(x.label) + "</text></g>";
    return out;
}

std::string figure(const std::string& title, double width, const std::string& legend,
                   const std::string& inside) {
    return "<figure class=\"card chart\"><figcaption><h3>" + html_escape(title) + "</h3></figcaption>" +
           legend + text("<svg viewBox=\"0 0 %g %g\" role=img aria-label=\"", width, kHeight) +
           html_escape(title) + "\">" + inside + "</svg></figure>";
}

}  // namespace

std::string line_chart(const std::string& title, const Axis& x, const Axis& y,
                       const std::vector<Line>& lines) {
    std::string inside = frame(x, y), legend = "<ul class=legend>";
    for (const Line& line : lines) {
        std::string path;
        bool open = false;
        for (size_t i = 0; i < line.x.size(); ++i) {
            if (!std::isfinite(line.y[i])) {
                open = false;
                continue;
            }
            const double v = y.logarithmic ? std::max(line.y[i], y.low) : line.y[i];
            path += text("%c%.1f %.1f", open ? 'L' : 'M', px(x, line.x[i]), py(y, v));
            open = true;
        }
        inside += text("<path class=\"line s%d\" d=\"", line.color) + path + "\"/>";
        legend += text("<li class=s%d>", line.color) + html_escape(line.name) + "</li>";
    }
    return figure(title, x.width, legend + "</ul>", inside);
}

std::string scatter(const std::string& title, int color, double x_reach, double y_reach,
                    const std::vector<float>& sent, const std::vector<float>& came) {
    const Axis x{"update that was sent", -x_reach, x_reach, false, false, kNarrow}, y{"", -y_reach, y_reach};
    std::string inside = frame(x, y) + text("<path class=level d=\"M%.1f %.1fL%.1f %.1f\"/>", px(x, -x_reach),
                                            py(y, -x_reach), px(x, x_reach), py(y, x_reach));
    inside += text("<g class=\"dots s%d\">", color);
    for (size_t i = 0; i < sent.size(); ++i)
        inside +=
            text("<circle r=\"2\" cx=\"%.1f\" cy=\"%.1f\"/>", px(x, double(sent[i])), py(y, double(came[i])));
    return figure(title, x.width, "", inside + "</g>");
}

std::string histogram(const std::string& title, const std::string& note, int color, double reach,
                      const std::vector<float>& values) {
    constexpr int kBins = 181;
    std::vector<double> counts(kBins);
    for (const float v : values) {
        const int bin = int(std::floor((double(v) / reach + 1) / 2 * kBins));
        if (bin >= 0 && bin < kBins) ++counts[size_t(bin)];
    }
    const double most = *std::max_element(counts.begin(), counts.end());
    const Axis x{"", -reach, reach}, y{"", 0, most * 1.05};
    std::string inside = "<g class=ticks>";
    for (const double v : {-reach, -reach / 2, 0.0, reach / 2, reach})
        inside += text("<text text-anchor=middle x=\"%.1f\" y=\"%.1f\">%g</text>", px(x, v),
                       kHeight - kBottom + 17, v);
    inside +=
        text("<text text-anchor=middle x=\"%.1f\" y=\"%.1f\">", (kLeft + x.width - kRight) / 2, kHeight - 7) +
        html_escape(note) + "</text></g><g class=\"bars s" + std::to_string(color) + "\">";
    const double width = (x.width - kLeft - kRight) / kBins;
    for (int i = 0; i < kBins; ++i)
        if (counts[size_t(i)] > 0)
            inside +=
                text("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", kLeft + i * width,
                     py(y, counts[size_t(i)]), width + 0.2, kHeight - kBottom - py(y, counts[size_t(i)]));
    return figure(title, x.width, "", inside + "</g>");
}

std::string cells(const std::string& title, int rows, int columns, const std::vector<int>& kinds) {
    std::string inside;
    long bad = 0;
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < columns; ++c) {
            const int kind = kinds[size_t(r * columns + c)];
            bad += kind > 0;
            if (kind > 0)
                inside +=
                    text("<rect class=k%d x=\"%d\" y=\"%d\" width=\"5\" height=\"5\"/>", kind, c * 6, r * 6);
        }
    return "<figure><svg class=cells viewBox=\"" + text("-2 -2 %d %d\"", columns * 6 + 3, rows * 6 + 3) +
           " role=img aria-label=\"" + html_escape(title) + "\">" +
           text("<rect class=bed x=\"-2\" y=\"-2\" width=\"%d\" height=\"%d\"/>", columns * 6 + 3,
                rows * 6 + 3) +
           inside + "</svg><figcaption>" + html_escape(title) +
           text(": <b>%ld</b> of %d lost", bad, rows * columns) + "</figcaption></figure>";
}

}  // namespace demi::examples::study
