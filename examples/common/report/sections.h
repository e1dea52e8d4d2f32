#pragma once

// The parts of report.html. Each appends its section to `out`, or nothing when it has no data.

#include <string>
#include <string_view>

#include "examples/common/report.h"

namespace demi::examples::report {

void add_tiles(std::string& out, const Report& report);
void add_charts(std::string& out, const Report& report);
void add_tables(std::string& out, const Report& report);
void add_confusion(std::string& out, const Report& report);
void add_samples(std::string& out, const Report& report);
void add_attention(std::string& out, const Report& report);
void add_pca(std::string& out, const Report& report);
void add_boundary(std::string& out, const Report& report);
void add_settings(std::string& out, const Report& report);

void begin_section(std::string& out, std::string_view id, std::string_view heading,
                   std::string_view intro = {});
void end_section(std::string& out);

const char* page_style();
const char* page_script();

}  // namespace demi::examples::report
