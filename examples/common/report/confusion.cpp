#include <algorithm>
#include <cmath>
#include <cstdio>

#include "examples/common/format.h"
#include "examples/common/report/sections.h"
#include "examples/common/text.h"
#include "runtime/check.h"

namespace demi::examples::report {
namespace {

constexpr size_t kTableClasses = 24;  // beyond that the matrix is drawn as a picture
constexpr size_t kListedClasses = 24, kListedPairs = 6;

struct Matrix {
    const Confusion& source;
    size_t classes;
    std::vector<int64_t> truth, predicted;  // sums of rows and columns

    int64_t at(size_t t, size_t p) const { return source.counts[t * classes + p]; }
    double rate(size_t t, size_t p) const {
        return truth[t] > 0 ? static_cast<double>(at(t, p)) / static_cast<double>(truth[t]) : 0;
    }
    const std::string& name(size_t i) const { return source.classes[i]; }
};

Matrix sums_of(const Confusion& confusion) {
    const size_t k = confusion.classes.size();
    check(confusion.counts.size() == k * k, "report", "the confusion matrix of ", k, " classes needs ", k * k,
          " counts: ", confusion.counts.size());
    Matrix m{confusion, k, std::vector<int64_t>(k), std::vector<int64_t>(k)};
    for (size_t t = 0; t < k; ++t)
        for (size_t p = 0; p < k; ++p) {
            m.truth[t] += m.at(t, p);
            m.predicted[p] += m.at(t, p);
        }
    return m;
}

// Errors are rare and would be invisible on a linear scale.
double shade(const Matrix& m, size_t t, size_t p) { return t == p ? m.rate(t, p) : std::sqrt(m.rate(t, p)); }

void add_cell(std::string& out, const Matrix& m, size_t t, size_t p) {
    if (m.at(t, p) == 0) {
        out += t == p ? "<td class=hit>0</td>" : "<td>·</td>";
        return;
    }
    char open[64];
    const double a = 0.08 + 0.92 * shade(m, t, p);
    std::snprintf(open, sizeof open, "<td class=\"%s%s\" style=\"--a:%.2f\" title=\"",
                  t == p ? "hit" : "miss", a > 0.5 ? " full" : "", a);
    out += open + html_escape(m.name(t)) +
           (t == p ? " recognised: " : " taken for " + html_escape(m.name(p)) + ": ") + grouped(m.at(t, p)) +
           " of " + grouped(m.truth[t]) + " (" + percent(m.rate(t, p)) + ")\">" + grouped(m.at(t, p)) +
           "</td>";
}

void add_table(std::string& out, const Matrix& m) {
    out += "<div class=scroll tabindex=0><table class=confusion><caption>Rows: the true class. Columns: what "
           "the model "
           "said.</caption><thead><tr><td></td>";
    for (size_t p = 0; p < m.classes; ++p)
        out += "<th scope=col><span>" + html_escape(m.name(p)) + "</span></th>";
    out += "</tr></thead><tbody>";
    for (size_t t = 0; t < m.classes; ++t) {
        out += "<tr><th scope=row>" + html_escape(m.name(t)) + "</th>";
        for (size_t p = 0; p < m.classes; ++p) add_cell(out, m, t, p);
        out += "</tr>";
    }
    out += "</tbody></table></div>";
}

void add_picture(std::string& out, const Matrix& m) {
    const int k = static_cast<int>(m.classes);
    Picture picture(k, k, 3);
    for (size_t t = 0; t < m.classes; ++t)
        for (size_t p = 0; p < m.classes; ++p) {
            const uint8_t colour[2][3] = {{213, 94, 0}, {0, 114, 178}};
            uint8_t* pixel = picture.at(static_cast<int>(p), static_cast<int>(t));
            for (int c = 0; c < 3; ++c)
                pixel[c] = static_cast<uint8_t>(250 + (colour[t == p][c] - 250) * shade(m, t, p));
        }
    out += "<figure class=matrix><img alt=\"Confusion matrix of " + std::to_string(m.classes) +
           " classes\" src=\"" + png_data_uri(shrink(picture, 400)) +
           "\"><figcaption>Rows: the true class. Columns: what the model said. Blue: right, orange: "
           "wrong.</figcaption>"
           "</figure>";
}

void add_bar(std::string& out, double part, const char* kind) {
    char open[64];
    std::snprintf(open, sizeof open, "<td class=bar><i class=%s style=\"--w:%.4f\"></i>", kind, part);
    out += open + percent(part) + "</td>";
}

void add_classes(std::string& out, const Matrix& m) {
    std::vector<size_t> order(m.classes);
    for (size_t i = 0; i < m.classes; ++i) order[i] = i;
    const bool some = m.classes > kListedClasses;
    if (some) {
        std::stable_sort(order.begin(), order.end(),
                         [&](size_t a, size_t b) { return m.rate(a, a) < m.rate(b, b); });
        order.resize(kListedClasses);
    }
    out += "<div class=scroll tabindex=0><table class=classes><caption>" +
           std::string(some ? "The classes with the lowest accuracy." : "Accuracy per class.") +
           "</caption><thead><tr><th scope=col>class<th scope=col class=num>images<th scope=col title=\"of "
           "the images of "
           "this class, how many were recognised\">accuracy<th scope=col title=\"of the images called this "
           "class, how "
           "many were it\">precision</tr></thead><tbody>";
    for (const size_t i : order) {
        out += "<tr><th scope=row>" + html_escape(m.name(i)) + "</th><td class=num>" + grouped(m.truth[i]) +
               "</td>";
        if (m.truth[i] > 0)
            add_bar(out, m.rate(i, i), "hit");
        else
            out += "<td class=bar>–</td>";
        if (m.predicted[i] > 0)
            add_bar(out, static_cast<double>(m.at(i, i)) / static_cast<double>(m.predicted[i]), "other");
        else
            out += "<td class=bar>–</td>";
        out += "</tr>";
    }
    out += "</tbody></table></div>";
}

void add_pairs(std::string& out, const Matrix& m) {
    struct Pair {
        size_t truth, predicted;
    };
    std::vector<Pair> pairs;
    for (size_t t = 0; t < m.classes; ++t)
        for (size_t p = 0; p < m.classes; ++p)
            if (t != p && m.at(t, p) > 0) pairs.push_back({t, p});
    if (pairs.empty()) return;
    std::stable_sort(pairs.begin(), pairs.end(), [&](const Pair& a, const Pair& b) {
        return m.at(a.truth, a.predicted) > m.at(b.truth, b.predicted);
    });
    out += "<p class=pairs>Most often confused: ";
    for (size_t i = 0; i < std::min(pairs.size(), kListedPairs); ++i)
        out += (i > 0 ? ", " : "") + ("<b>" + html_escape(m.name(pairs[i].truth))) + "</b> taken for <b>" +
               html_escape(m.name(pairs[i].predicted)) + "</b> (" +
               grouped(m.at(pairs[i].truth, pairs[i].predicted)) + ")";
    out += ".</p>";
}

}  // namespace

void add_confusion(std::string& out, const Report& report) {
    if (report.confusion.classes.empty()) return;
    const Matrix m = sums_of(report.confusion);
    int64_t total = 0, right = 0;
    for (size_t i = 0; i < m.classes; ++i) {
        total += m.truth[i];
        right += m.at(i, i);
    }
    begin_section(
        out, "classes", "Classes",
        grouped(right) + " of " + grouped(total) + " held-out images recognised" +
            (total > 0 ? ", " + percent(static_cast<double>(right) / static_cast<double>(total)) : "") + ".");
    out += "<div class=\"card two\">";
    m.classes <= kTableClasses ? add_table(out, m) : add_picture(out, m);
    add_classes(out, m);
    out += "</div>";
    add_pairs(out, m);
    end_section(out);
}

}  // namespace demi::examples::report
