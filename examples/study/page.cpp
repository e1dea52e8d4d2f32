#include "examples/study/page.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "examples/common/files.h"
#include "examples/common/format.h"
#include "examples/common/report/sections.h"
#include "examples/common/text.h"
#include "examples/study/draw.h"
#include "examples/study/measure.h"

namespace demi::examples::study {
namespace {

constexpr std::array kModes = {BoundaryMode::strict, BoundaryMode::wide, BoundaryMode::off};
constexpr int kColors[] = {1, 0, 2};
constexpr int kLayers = 48;

struct Page {
    std::string html, said;
    uint64_t seed;

    void section(const char* id, const char* heading, const std::string& intro) {
        html += std::string("<section id=\"") + id + "\"><h2>" + heading + "</h2><p class=intro>" + intro +
                "</p>";
    }
    void say(const std::string& line) { said += line + "\n"; }
};

std::string tile(const std::string& label, const std::string& value, const std::string& detail) {
    return "<li><span>" + label + "</span><b>" + value + "</b><small>" + detail + "</small></li>";
}

std::string row(std::initializer_list<std::string> cells) {
    std::string out = "<tr>";
    for (const std::string& cell : cells)
        out += (out.size() == 4 ? "<th scope=row>" : "<td class=num>") + cell;
    return out + "</tr>";
}

// How much of an update of 1e-5 reaches x.
void add_forward(Page& page, std::string& tiles) {
    page.section("forward", "An update of 10⁻⁵ meets an x of 1",
                 "<code>x + alpha · gamma · branch</code>, with LayerScale's first gamma of 10⁻⁵ and alpha "
                 "1/0.7. Neighbouring fp16 "
                 "numbers near 1 lie 10⁻³ apart, so in strict mode, where x itself goes through fp16, the "
                 "update is rounded away, and x moves "
                 "by its own rounding error instead. Wide rounds gamma and branch only, and adds into the "
                 "caller's f32.");
    page.html += "<div class=\"charts three\">";
    page.say("one residual add, x of unit size, gamma 1e-5:     swallowed   error of the update");
    for (size_t i = 0; i < kModes.size(); ++i) {
        const Arrival a = residual_add(kModes[i], 1, kGamma, page.seed);
        const std::string mode(name(kModes[i]));
        page.html += scatter(mode + ": what x moved by", kColors[i], 5e-5, 4e-4, a.sent, a.came);
        char line[120];
        std::snprintf(line, sizeof line, "  %-8s %47.1f %%   %18.3g", mode.c_str(), a.swallowed * 100,
                      a.error);
        page.say(line);
        if (kModes[i] != BoundaryMode::off)
            tiles += tile(mode + ": updates swallowed", percent(a.swallowed), "gamma 10⁻⁵, x of unit size");
    }
    page.html += "</div><p class=soft>Dashed: where a point belongs. All three have the same axes; points "
                 "beyond lie on the edge.</p><div "
                 "class=charts>";

    std::vector<Line> swallowed, stream;
    for (size_t i = 0; i < kModes.size(); ++i) {
        Line line{std::string(name(kModes[i])), kColors[i], {}, {}};
        for (int e = -24; e <= 0; ++e) {
            const double gamma = std::pow(10.0, e / 4.0);
            line.x.push_back(gamma);
            line.y.push_back(residual_add(kModes[i], 1, gamma, page.seed).swallowed);
        }
        swallowed.push_back(line);
        Line depth{
            std::string(name(kModes[i])), kColors[i], {}, residual_stream(kModes[i], kLayers, page.seed)};
        for (int layer = 1; layer <= kLayers; ++layer) depth.x.push_back(layer);
        char text[120];
        std::snprintf(text, sizeof text, "  %-8s error of the stream's update after %d adds: %.3g",
                      depth.name.c_str(), kLayers, depth.y.back());
        page.say(text);
        stream.push_back(depth);
    }
    page.html += line_chart("Share of updates that change nothing", {"gamma", 1e-6, 1, true},
                            {"", 0, 1, false, true}, swallowed);
    page.html += line_chart("24 blocks, 48 adds: error of the sum of all updates", {"adds", 0, kLayers},
                            {"", 1e-5, 100, true}, stream);
    page.html += "</div><p class=soft>Error: relative to the sum of the updates in f64. At 1 nothing right "
                 "has arrived; above it, "
                 "noise outweighs the signal.</p></section>";
}

// Which gradients survive the way through fp16.
void add_backward(Page& page, std::string& tiles) {
    page.section("backward", "Gradients of 10⁻⁶ … 10⁻⁸ cross",
                 "Without a loss scaler, as models in f32 and bf16 are trained, gradients are this small. "
                 "fp16 has nothing below 6·10⁻⁸: what "
                 "arrives is a comb. All three operators are linear in the gradient, so it may be multiplied "
                 "by a power of two before "
                 "it is rounded and divided by it afterwards, exactly. <code>GradScale::automatic()</code> "
                 "picks that power from the "
                 "gradient's largest element.");
    const std::array<GradScale, 3> scales = {GradScale::none(), GradScale::fixed(16), GradScale::automatic()};
    const char* names[] = {"none", "fixed, 2¹⁶", "automatic"};
    page.html += "<div class=\"charts pairs2\">";
    const Crossing comb = gradient(scales[0], 1e-7, page.seed), bell = gradient(scales[2], 1e-7, page.seed);
    page.html += histogram("No scale: what arrives of a bell curve of 10⁻⁷",
                           "gradient that arrives; multiples of 2⁻²⁴", 1, 4e-7, comb.came);
    page.html += histogram("Automatic scale: the same gradient", "gradient that arrives", 0, 4e-7, bell.came);
    std::vector<Line> zeroed, error;
    for (size_t i = 0; i < scales.size(); ++i) {
        Line z{names[i], kColors[i], {}, {}}, e = z;
        for (int step = -30; step <= 6; ++step) {
            const double sigma = std::pow(10.0, step / 3.0);
            const Crossing c = gradient(scales[i], sigma, page.seed);
            z.x.push_back(sigma);
            z.y.push_back(c.zeroed);
            e.x.push_back(sigma);
            e.y.push_back(c.error);
        }
        zeroed.push_back(z);
        error.push_back(e);
    }
    page.html += line_chart("Share of gradients that become zero", {"size of the gradient", 1e-10, 100, true},
                            {"", 0, 1, false, true}, zeroed);
    page.html += line_chart("Error of the gradient (relative L2)", {"size of the gradient", 1e-10, 100, true},
                            {"", 1e-4, 1, true}, error);
    page.html += "</div><div class=\"card scroll\"><table class=boundary><thead><tr><th scope=col>size of "
                 "the gradient";
    for (const char* n : names)
        page.html += std::string("<th scope=col class=num>") + n + ": zeroed<th scope=col class=num>error";
    page.html += "</tr></thead><tbody>";
    page.say("gradients through strict:   none: zeroed, error   fixed 2^16: zeroed, error   automatic: "
             "zeroed, error");
    for (const double sigma : {1e-5, 1e-6, 1e-7, 1e-8}) {
        std::vector<std::string> cells;
        char head[32], line[160];
        std::snprintf(head, sizeof head, "10<sup>%d</sup>", int(std::lround(std::log10(sigma))));
        std::string text;
        page.html += std::string("<tr><th scope=row>") + head;
        for (const GradScale& scale : scales) {
            const Crossing c = gradient(scale, sigma, page.seed);
            page.html += "<td class=\"num" + std::string(c.zeroed > 0.01 ? " warn" : "") + "\">" +
                         percent(c.zeroed) + "<td class=num>" + significant(c.error, 2);
            std::snprintf(line, sizeof line, "  %10.2f %%  %9.2g", c.zeroed * 100, c.error);
            text += line;
        }
        page.html += "</tr>";
        std::snprintf(line, sizeof line, "  %.0e", sigma);
        page.say(line + text);
    }
    tiles += tile("gradients of 10⁻⁸ zeroed", percent(gradient(scales[0], 1e-8, page.seed).zeroed),
                  "0 % with automatic scale");
    page.html += "</tbody></table></div></section>";
}

// One element beyond 65504.
void add_outlier(Page& page) {
    page.section(
        "outlier", "One 70000",
        "A single element of x lies above 65504, the largest fp16. It becomes infinite; layernorm turns its "
        "token into NaN, and attention, "
        "in which every token looks at every other, the whole image. Rows are tokens, columns features.");
    page.html += "<div class=outliers>";
    const char* steps[] = {"after the residual add", "after layernorm", "after attention"};
    struct Row {
        const char* name;
        BoundaryMode mode;
        OverflowPolicy policy;
    };
    constexpr Row rows[] = {{"strict, propagate", BoundaryMode::strict, OverflowPolicy::propagate},
                            {"strict, saturate", BoundaryMode::strict, OverflowPolicy::saturate},
                            {"wide", BoundaryMode::wide, OverflowPolicy::propagate}};
    page.say("one x of 70000:");
    for (const Row& r : rows) {
        const Outlier o = outlier(r.mode, r.policy, page.seed);
        page.html += std::string("<div class=card><h3>") + r.name + "</h3><p>the outlier leaves as <b>" +
                     o.value + "</b></p><div class=steps>";
        for (size_t i = 0; i < o.kinds.size(); ++i) page.html += cells(steps[i], kTokens, kWidth, o.kinds[i]);
        page.html += "</div></div>";
        page.say(std::string("  ") + r.name + ": " + o.value);
    }
    const Outlier refused = outlier(BoundaryMode::strict, OverflowPolicy::error, page.seed);
    page.say("  strict, error: " + refused.value);
    page.html += "</div><p class=note><span>strict, error</span> throws instead: <code>" +
                 html_escape(refused.value) + "</code></p></section>";
}

// The ledger of everything above.
void add_ledger(Page& page) {
    page.section("ledger", "Nothing disappears unseen",
                 "Every cast counts what it loses, in the registers that it passes anyway. This is the "
                 "ledger of this page; "
                 "<code>boundary_report()</code> prints it, and <code>--boundary-report</code> does for a "
                 "training run.");
    page.html += "<div class=\"card scroll\"><table class=boundary><thead><tr><th scope=col>site<th "
                 "scope=col class=num>operator<th "
                 "scope=col class=num>pass<th scope=col class=num>operand<th scope=col class=num>calls<th "
                 "scope=col class=num>elements<th "
                 "scope=col class=num>to inf<th scope=col class=num>NaN<th scope=col class=num>to zero<th "
                 "scope=col class=num>"
                 "subnormal<th scope=col class=num>max |x|</tr></thead><tbody>";
    for (const demi::BoundaryRow& r : boundary_counters()) {
        const CastCounters& c = r.counters;
        const auto share = [&](int64_t n) {
            return n == 0 ? std::string("0") : percent(double(n) / double(c.elements));
        };
        page.html +=
            row({html_escape(r.site.empty() ? "—" : r.site), r.op, std::string(name(r.direction)), r.operand,
                 std::to_string(r.calls), human_count(double(c.elements)), grouped(c.to_inf), grouped(c.nan),
                 share(c.to_zero), share(c.subnormal), significant(c.amax, 3)});
    }
    page.html += "</tbody></table></div></section>";
}

constexpr const char* kStyle = R"css(
.pairs2{grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));margin-bottom:14px}
.three{grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr))}
.dots circle{stroke:none;opacity:.75}
.bars rect{fill:var(--c)}
.s0,.dots.s0,.bars.s0{--c:var(--s0)}.dots.s1,.bars.s1{--c:var(--s1)}.dots.s2{--c:var(--s2)}
.outliers{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr))}
.outliers>:first-child{grid-column:1/-1}
.outliers p{margin:.1em 0 .7em;color:var(--soft)}.outliers p b{color:var(--ink)}
.steps{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,160px),1fr));gap:14px}
.steps figcaption{font-size:.85rem;color:var(--soft);padding-top:4px}.steps figcaption b{color:var(--ink)}
.cells .bed{fill:var(--track)}.cells .k1{fill:var(--s4)}.cells .k2{fill:var(--s1)}
code{font-size:.92em;overflow-wrap:anywhere}
footer{max-width:1240px;margin:0 auto;padding:8px 20px 40px;color:var(--soft);font-size:.9rem}
)css";

}  // namespace

std::string write_page(const std::string& path, uint64_t seed) {
    reset_boundary_counters();
    Page page{{}, {}, seed};
    std::string tiles;
    add_forward(page, tiles);
    add_backward(page, tiles);
    add_outlier(page);
    add_ledger(page);
    const Memory m = memory();
    tiles += tile("memory of a strict add", significant(m.fused, 2) + "×",
                  significant(m.explicit_casts, 2) + "× with explicit casts, of the tensor's own size");
    char line[160];
    std::snprintf(
        line, sizeof line,
        "memory allocated by one strict add on f32: %.2f of the tensor fused, %.2f with explicit casts",
        m.fused, m.explicit_casts);
    page.say(line);
    const std::string html =
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport "
        "content=\"width=device-width,initial-scale=1\">"
        "<title>What a cast to fp16 costs</title><style>" +
        std::string(report::page_style()) + kStyle +
        "</style><header><p class=brand>demi<span>boundary study</span></p><h1>What a cast to fp16 "
        "costs</h1><p class=subtitle>"
        "Some operators compute on fp16 only; the model around them is f32 or bf16, so there are casts. This "
        "page lets demi's own operators show what "
        "happens to the numbers that cross, in three modes: <b>strict</b> rounds every operand and result to "
        "fp16, <b>wide</b> rounds "
        "operands but adds into the caller's dtype, <b>off</b> casts nothing.</p><ul class=tiles>" +
        tiles + "</ul></header><main>" + page.html +
        "</main><footer>Written by <code>build/examples/boundary_study --seed " + std::to_string(seed) +
        "</code>. The same seed gives the same page.</footer></html>\n";
    write_atomically(path, html);
    return page.said;
}

}  // namespace demi::examples::study
