#include "examples/common/report.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "examples/common/files.h"
#include "examples/common/report/axis.h"
#include "examples/common/report/curve.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary.h"

using namespace demi::examples;
using namespace demi::test;

namespace {

const std::string kEvil = "</script><script>alert('1')</script>\"&\xff";

Picture noise(int size) {
    Picture p(size, size, 3);
    uint32_t state = 1;
    for (uint8_t& v : p.pixels) v = static_cast<uint8_t>((state = state * 1664525u + 1013904223u) >> 24);
    return p;
}

// Every section, with `text` as every name.
Report filled(const std::string& text, int size, int count) {
    Report r;
    r.title = r.subtitle = r.status = text;
    r.notes = {text};
    r.tiles = {{text, text, text}};
    r.charts.push_back({text, text, {{text, {1, 2, 3}, {1, 2, 3}, false}}, {{text, 2}}, false, true});
    r.confusion = {{text, text + "b"}, {5, 1, 2, 7}};
    for (int i = 0; i < count; ++i) {
        r.samples.push_back({noise(size), text, i % 2 ? text : text + "b", 0.5, text});
        const std::vector<float> head(64, 0.1f);
        r.attention.push_back({noise(size), text, 8, 8, {head, head, head, head, head, head, head, head}});
        r.pca.push_back({noise(size), text, 8, 8, std::vector<float>(192, 0.5f)});
    }
    r.boundary.assign(static_cast<size_t>(count), {text, text, text, text, 100, 1, 2, 3, 4, 1e5});
    r.config.add(text, text);
    r.environment.add(text, text);
    return r;
}

size_t count_of(const std::string& text, const std::string& part) {
    size_t n = 0;
    for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
    return n;
}

}  // namespace

TEST_CASE("names from outside cannot break out of the page") {
    const std::string evil = report_html(filled(kEvil, 8, 3)), plain = report_html(filled("x", 8, 3));
    CHECK(!has(evil, "<script>alert"));
    CHECK(!has(evil, "\xff"));
    for (const std::string part : {"<", ">", "<script", "</script>"})
        CHECK(count_of(evil, part) == count_of(plain, part));
}

TEST_CASE("the page fetches nothing") {
    const std::string page = report_html(filled("x", 8, 3));
    CHECK(!has(page, "http:"));
    CHECK(!has(page, "https:"));
    CHECK(!has(page, "@import"));
    CHECK(has(page, "default-src 'none'"));
}

TEST_CASE("sections without data are left out") {
    const std::string page = report_html({});
    CHECK(has(page, "</html>"));
    CHECK(!has(page, "<section"));
    CHECK(!has(page, "<nav"));
    CHECK(count_of(report_html(filled("x", 8, 1)), "<section") == 7);
}

TEST_CASE("empty, single, constant, huge and not finite values can be drawn") {
    const double nan = std::numeric_limits<double>::quiet_NaN(),
                 inf = std::numeric_limits<double>::infinity();
    const std::vector<std::vector<double>> cases = {{},
                                                    {1},
                                                    {nan},
                                                    {2, 2, 2},
                                                    {0, 0},
                                                    {-1, -2},
                                                    {nan, 1, inf, 2, -inf},
                                                    {1e300, -1e308},
                                                    {5e-324, 1e-320},
                                                    {1e15, 1e15 + 1}};
    for (const auto& y : cases)
        for (const bool smooth : {false, true})
            for (const bool percent : {false, true}) {
                Report r;
                std::vector<double> x;
                for (size_t i = 0; i < y.size(); ++i) x.push_back(double(i));
                r.charts.push_back(
                    {"c", "step", {{"s", x, y, smooth}}, {{"level", nan}, {"zero", 0}}, percent, true});
                const std::string page = report_html(r);
                const std::string drawn =
                    page.substr(page.find("<svg"), page.rfind("</svg>") - page.find("<svg"));
                CHECK(!has(drawn, "Lnan"));
                CHECK(!has(drawn, "=nan"));
                CHECK(!has(drawn, "=inf"));
                CHECK(!has(drawn, "Minf"));
                CHECK(page.size() < 40000);
            }
    Report r;
    r.charts.push_back({"c", "step", {{"s", {1, 2, 3}, {1, nan, 2}, false}}, {}, false, false});
    CHECK(has(report_html(r), "1 value is NaN or infinite, the first at step 2."));
    r = {};
    r.samples.push_back({Picture(), "a", "b", nan, ""});
    r.attention.push_back({Picture(), "a", 1, 1, {{std::nanf("")}}});
    r.boundary.push_back({"a", "b", "forward", "f32", 0, 0, 0, 0, 0, nan});
    r.confusion = {{"a", "b"}, {0, 0, 0, 0}};
    CHECK(!has(report_html(r), "--w:nan"));
}

TEST_CASE("a long run keeps the file small") {
    Report r = filled("x", 224, 60);
    for (int c = 0; c < 6; ++c) {
        Series s{"train", {}, {}, true};
        for (int i = 0; i < 100000; ++i) {
            s.x.push_back(i);
            s.y.push_back(std::sin(i * 0.37) + 2);
        }
        r.charts.push_back({"c", "step", {s, s}, {}, false, true});
    }
    r.confusion.classes.assign(200, "c");
    r.confusion.counts.assign(200 * 200, 3);
    r.boundary.assign(5000, r.boundary[0]);
    CHECK(report_html(r).size() < 3'000'000);
    TemporaryFolder folder;
    write_report(folder / "report.html", r);
    CHECK(read_text(folder / "report.html") == report_html(r));
}

TEST_CASE("wrong sizes are refused") {
    Report r;
    r.confusion = {{"a", "b"}, {1, 2, 3}};
    CHECK(has(error_of([&] { report_html(r); }), "needs 4 counts: 3"));
    r = {};
    r.attention.push_back({noise(8), "a", 2, 2, {{1, 2, 3}}});
    CHECK(has(error_of([&] { report_html(r); }), "needs 4 values: 3"));
}

TEST_CASE("axes have few ticks inside their range") {
    using namespace demi::examples::report;
    for (const AxisKind kind : {AxisKind::tight, AxisKind::whole, AxisKind::widened, AxisKind::logarithmic})
        for (double low : {1e-90, 0.013, 1.0, 7.0, 65504.0})
            for (double span : {0.0, 1e-3, 0.5, 3.0, 1e4, 1e30}) {
                const Axis axis = make_axis({low, low + span}, kind);
                CHECK(axis.low <= low * (1 + 1e-12));
                CHECK(axis.high >= (low + span) * (1 - 1e-12));
                CHECK(axis.low < axis.high);
                CHECK(axis.ticks.size() <= 16);
                for (const double t : axis.ticks) {
                    CHECK(axis.position(t) >= -1e-6);
                    CHECK(axis.position(t) <= 1 + 1e-6);
                    if (kind == AxisKind::whole) CHECK(t == std::floor(t));
                }
            }
    CHECK(tick_label(20000, false) == "20 k");
    CHECK(tick_label(0.25, true) == "25 %");
}

TEST_CASE("a curve keeps its last value and counts its gaps") {
    using namespace demi::examples::report;
    Series s{"s", {}, {}, true};
    for (int i = 0; i < 5000; ++i) {
        s.x.push_back(i);
        s.y.push_back(i == 100 || i == 200 ? std::numeric_limits<double>::quiet_NaN() : 3.0);
    }
    const Curve c = make_curve(s);
    CHECK(c.x.size() <= 240);
    CHECK(c.x.back() == 4999);
    CHECK(c.y.back() == doctest::Approx(3));
    CHECK(c.gaps == 2);
    CHECK(c.first_gap == 100);
    CHECK(make_curve({"s", {1, 2, 3}, {1}, false}).x.size() == 1);
    CHECK(last_value(make_curve({}), false) == "–");
}
