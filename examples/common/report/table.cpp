#include "examples/common/report/sections.h"
#include "examples/common/text.h"

namespace demi::examples::report {

void add_tables(std::string& out, const Report& report) {
    for (const Table& table : report.tables) {
        if (table.rows.empty()) continue;
        begin_section(out, table.id, table.heading);
        out += "<div class=\"card tall\"><table><thead><tr>";
        for (const std::string& name : table.columns) out += "<th scope=col>" + html_escape(name) + "</th>";
        out += "</tr></thead><tbody>";
        for (const auto& row : table.rows) {
            out += "<tr>";
            for (size_t i = 0; i < row.size(); ++i)
                out += i == 0 ? "<th scope=row>" + html_escape(row[i]) + "</th>"
                              : "<td>" + html_escape(row[i]) + "</td>";
            out += "</tr>";
        }
        out += "</tbody></table></div>";
        end_section(out);
    }
}

}  // namespace demi::examples::report
