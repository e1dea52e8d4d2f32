#pragma once
// --help: two columns within 100, with every range and default.
#include <string>

namespace CLI {
class App;
}

namespace demi::examples {

// Call it once all options are added: defaults that no description tells are taken from the variables.
void set_help(CLI::App& app, const std::string& version);

// Parses the command line of a program without a configuration file. Returns -1 to go on, else the exit status: 0 after
// --help, 2 after a line on stderr that says what was wrong.
int parse_program(CLI::App& app, int argc, char** argv, const char* program);

// "[1 - 9223372036854775807]" to "at least 1", "[0 - 0.95]" to "0 to 0.95"; "" where the type has no range.
std::string range_text(const std::string& type);

// Lines of at most `width` columns, those after the first indented by `indent`.
std::string wrapped(const std::string& text, size_t indent, size_t width);

}  // namespace demi::examples
