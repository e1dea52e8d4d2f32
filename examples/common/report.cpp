#include "examples/common/report.h"

#include "examples/common/files.h"
#include "examples/common/report/sections.h"
#include "examples/common/text.h"

namespace demi::examples {
namespace report {

void begin_section(std::string& out, std::string_view id, std::string_view heading, std::string_view intro) {
    out += "<section id=" + std::string(id) + "><h2>" + html_escape(heading) + "</h2>";
    if (!intro.empty()) out += "<p class=intro>" + html_escape(intro) + "</p>";
}

void end_section(std::string& out) { out += "</section>\n"; }

}  // namespace report

namespace {

using namespace report;

void add_link(std::string& nav, const std::string& body, const char* id, const char* name) {
    if (body.find(std::string("<section id=") + id + ">") == std::string::npos) return;
    nav += std::string("<a href=\"#") + id + "\">" + name + "</a>";
}

}  // namespace

std::string report_html(const Report& report) {
    std::string body;
    add_charts(body, report);
    add_tables(body, report);
    add_confusion(body, report);
    add_samples(body, report);
    add_attention(body, report);
    add_pca(body, report);
    add_boundary(body, report);
    add_settings(body, report);

    std::string out =
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content=\"width=device-width,initial-scale=1\">"
        "<meta name=color-scheme content=\"light dark\">"
        // Even a hole in the escaping could fetch nothing.
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; img-src data:; "
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\"><link rel=icon href=\"data:,\">"
        "<title>" +
        html_escape(report.title) + "</title>\n<style>" + page_style() + "</style></head><body>\n";
    out += "<header><p class=brand>demi";
    if (!report.status.empty()) out += " <span>" + html_escape(report.status) + "</span>";
    out += "</p><h1>" + html_escape(report.title) + "</h1>";
    if (!report.subtitle.empty()) out += "<p class=subtitle>" + html_escape(report.subtitle) + "</p>";
    for (const std::string& note : report.notes)
        out += "<p class=note role=note><span aria-hidden=true>▲</span> " + html_escape(note) + "</p>";
    add_tiles(out, report);
    out += "</header>\n";
    std::string nav;
    add_link(nav, body, "curves", "Curves");
    for (const Table& table : report.tables) add_link(nav, body, table.id.c_str(), table.heading.c_str());
    add_link(nav, body, "classes", "Classes");
    add_link(nav, body, "pictures", "Pictures");
    add_link(nav, body, "attention", "Attention");
    add_link(nav, body, "features", "Features");
    add_link(nav, body, "boundary", "fp16 boundary");
    add_link(nav, body, "settings", "Settings");
    if (!nav.empty()) out += "<nav aria-label=\"Parts of the report\">" + nav + "</nav>\n";
    out += "<main>\n" + body + "</main>\n<script>" + page_script() + "</script></body></html>\n";
    return out;
}

void write_report(const std::string& path, const Report& report) {
    write_atomically(path, report_html(report));
}

}  // namespace demi::examples
