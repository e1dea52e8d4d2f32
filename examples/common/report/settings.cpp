#include "examples/common/report/sections.h"
#include "examples/common/text.h"

namespace demi::examples::report {
namespace {

void add_record(std::string& out, const char* heading, const Record& record) {
    if (record.empty()) return;
    out += std::string("<div class=card><h3>") + heading + "</h3><dl>";
    for (const auto& [key, value] : record.fields()) {
        const std::string text = to_text(value);
        out += "<div><dt>" + html_escape(key) + "</dt><dd>" + (text.empty() ? "–" : html_escape(text)) +
               "</dd></div>";
    }
    out += "</dl></div>";
}

}  // namespace

void add_tiles(std::string& out, const Report& report) {
    if (report.tiles.empty()) return;
    out += "<ul class=tiles>";
    for (const Tile& t : report.tiles) {
        out += "<li><span>" + html_escape(t.label) + "</span><b>" + html_escape(t.value) + "</b>";
        if (!t.detail.empty()) out += "<small>" + html_escape(t.detail) + "</small>";
        out += "</li>";
    }
    out += "</ul>";
}

void add_settings(std::string& out, const Report& report) {
    if (report.config.empty() && report.environment.empty()) return;
    begin_section(out, "settings", "Settings");
    out += "<div class=settings>";
    add_record(out, "Options of the run", report.config);
    add_record(out, "Environment", report.environment);
    out += "</div>";
    end_section(out);
}

}  // namespace demi::examples::report
