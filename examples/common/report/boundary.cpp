#include <algorithm>
#include <cmath>
#include <cstdio>

#include "examples/common/format.h"
#include "examples/common/report/sections.h"
#include "examples/common/text.h"

namespace demi::examples::report {
namespace {

constexpr double kHalfMax = 65504;
constexpr size_t kMostRows = 400;
// The range of fp16 in powers of two: least subnormal, least normal, largest.
constexpr double kLow = -24, kNormal = -14, kHigh = 16;

double share(int64_t part, int64_t all) {
    return all > 0 ? static_cast<double>(part) / static_cast<double>(all) : 0;
}

BoundaryRow total_of(const std::vector<BoundaryRow>& rows) {
    BoundaryRow sum;
    for (const BoundaryRow& r : rows) {
        sum.elements += r.elements;
        sum.to_inf += r.to_inf;
        sum.nan += r.nan;
        sum.to_zero += r.to_zero;
        sum.subnormal += r.subnormal;
        if (r.amax > sum.amax) sum.amax = r.amax;
    }
    return sum;
}

std::string magnitude(double value) {
    return value >= 1000 && value < 1e7 ? grouped(std::llround(value)) : significant(value, 3);
}

// Where amax lies between the least subnormal and the largest finite half.
void add_gauge(std::string& out, double amax) {
    const double exponent = amax > 0 ? std::log2(amax) : kLow;
    const double place = std::clamp((exponent - kLow) / (kHigh - kLow), 0.0, 1.0);
    const char* kind = amax > kHalfMax ? "over" : exponent < kNormal ? "under" : "fits";
    char text[160];
    std::snprintf(text, sizeof text, "<td class=\"gauge %s\"><span style=\"--w:%.4f\"></span></td>", kind,
                  place);
    out += text;
}

void add_count(std::string& out, int64_t count, int64_t elements, bool grave) {
    if (count == 0) {
        out += "<td class=\"num none\">0</td>";
        return;
    }
    const double part = share(count, elements);
    const bool marked = grave || part >= 0.01;
    out += std::string("<td class=\"num") + (marked ? (grave ? " bad" : " warn") : "") + "\" title=\"" +
           grouped(count) + " of " + grouped(elements) + "\">" +
           (marked ? "<span aria-hidden=true>▲ </span>" : "") + human_count(double(count)) + " <small>" +
           percent(part) + "</small></td>";
}

bool loses(const BoundaryRow& r) { return r.to_inf > 0 || r.nan > 0 || share(r.to_zero, r.elements) >= 0.01; }

void add_row(std::string& out, const BoundaryRow& r, bool new_site) {
    out += std::string("<tr class=\"") + (loses(r) ? "loses" : "") + (new_site ? " site" : "") +
           "\"><th scope=row>" + html_escape(r.site) + "</th><td>" + html_escape(r.operand) + "</td><td>" +
           html_escape(r.direction) + "</td><td>" + html_escape(r.dtype) + "</td><td class=num title=\"" +
           grouped(r.elements) + "\">" + human_count(double(r.elements)) + "</td>";
    add_count(out, r.to_inf, r.elements, true);
    add_count(out, r.nan, r.elements, true);
    add_count(out, r.to_zero, r.elements, false);
    add_count(out, r.subnormal, r.elements, false);
    out += "<td class=num>" + magnitude(r.amax) + "</td>";
    add_gauge(out, r.amax);
    out += "</tr>";
}

std::string summary(const BoundaryRow& sum) {
    return human_count(double(sum.elements)) +
           " elements were rounded to fp16 on their way into an operator: " + grouped(sum.to_inf) +
           " became infinite, " + grouped(sum.nan) + " were NaN, " +
           percent(share(sum.to_zero, sum.elements)) + " were flushed to zero and " +
           percent(share(sum.subnormal, sum.elements)) +
           " kept fewer bits as subnormals. The largest magnitude was " + magnitude(sum.amax) + ", " +
           percent(sum.amax / kHalfMax) + " of what fp16 can hold.";
}

}  // namespace

void add_boundary(std::string& out, const Report& report) {
    if (report.boundary.empty()) return;
    begin_section(out, "boundary", "The fp16 boundary", summary(total_of(report.boundary)));
    const auto losing = std::count_if(report.boundary.begin(), report.boundary.end(), loses);
    if (losing > 0 && static_cast<size_t>(losing) < report.boundary.size())
        out += "<label class=only hidden><input type=checkbox> only the " + std::to_string(losing) +
               " rows that lose something</label>";
    out +=
        "<div class=\"card scroll tall\" tabindex=0><table class=boundary><thead><tr><th scope=col>call site"
        "<th scope=col>operand<th scope=col>pass<th scope=col>dtype<th scope=col class=num>elements"
        "<th scope=col class=num>to inf<th scope=col class=num>NaN<th scope=col class=num>to zero"
        "<th scope=col class=num>subnormal<th scope=col class=num>max |x|<th scope=col class=range "
        "title=\"shaded: subnormal numbers, which have fewer "
        "bits\"><span>2⁻²⁴</span><span>65504</span></tr></thead><tbody>";
    const size_t shown = std::min(report.boundary.size(), kMostRows);
    for (size_t i = 0; i < shown; ++i)
        add_row(out, report.boundary[i], i > 0 && report.boundary[i].site != report.boundary[i - 1].site);
    out += "</tbody></table></div>";
    if (shown < report.boundary.size())
        out += "<p class=soft>" + std::to_string(report.boundary.size() - shown) +
               " more rows are left out.</p>";
    end_section(out);
}

}  // namespace demi::examples::report
