#include <algorithm>
#include <cmath>
#include <cstdio>

#include "examples/common/format.h"
#include "examples/common/report/sections.h"
#include "examples/common/text.h"

namespace demi::examples::report {
namespace {

constexpr int kSamplePixels = 96;  // keeps the file small; pictures are shown at about this size

double rank(const Sample& s) { return std::isfinite(s.confidence) ? s.confidence : 0; }

std::string sureness(const Sample& s) {
    return std::isfinite(s.confidence) ? significant(std::floor(s.confidence * 100 + 0.5), 3) + " %" : "–";
}

void add_sample(std::string& out, const Sample& s) {
    const bool right = s.correct();
    out += "<figure class=sample title=\"" + html_escape(s.name) + "\"><div>";
    if (!s.picture.empty()) {
        const bool coarse = std::max(s.picture.width, s.picture.height) <= 64;
        out += std::string("<img") + (coarse ? " class=coarse" : "") + " alt=\"" + html_escape(s.truth) +
               "\" loading=lazy src=\"" + png_data_uri(shrink(s.picture, kSamplePixels)) + "\">";
    }
    char bar[64];
    std::snprintf(bar, sizeof bar, "<i class=%s style=\"--w:%.3f\"></i>", right ? "hit" : "miss",
                  std::clamp(rank(s), 0.0, 1.0));
    out += "<small>" + sureness(s) + "</small></div>" + bar +
           "<figcaption><p><b class=" + (right ? "good>✓ " : "bad>✗ ") + html_escape(s.predicted) +
           "</b></p>";
    if (!right) out += "<p class=soft>is " + html_escape(s.truth) + "</p>";
    out += "</figcaption></figure>";
}

void add_grid(std::string& out, const std::vector<const Sample*>& list, size_t most,
              const std::string& heading) {
    if (list.empty()) return;
    out += "<h3>" + heading + "</h3><div class=samples>";
    for (size_t i = 0; i < std::min(list.size(), most); ++i) add_sample(out, *list[i]);
    out += "</div>";
}

}  // namespace

void add_samples(std::string& out, const Report& report) {
    if (report.samples.empty()) return;
    std::vector<const Sample*> wrong, right;
    for (const Sample& s : report.samples) (s.correct() ? right : wrong).push_back(&s);
    std::stable_sort(wrong.begin(), wrong.end(), [](auto* a, auto* b) { return rank(*a) > rank(*b); });
    std::stable_sort(right.begin(), right.end(), [](auto* a, auto* b) { return rank(*a) < rank(*b); });
    begin_section(
        out, "pictures", "Pictures",
        "What the model said and how sure it was; below it, where that differs, what the picture shows.");
    add_grid(out, wrong, kMostMistakes, "Mistakes, the most confident first");
    if (wrong.empty()) out += "<p class=soft>No mistakes among the test pictures.</p>";
    add_grid(out, right, kMostRight, "Right, but barely");
    end_section(out);
}

}  // namespace demi::examples::report
