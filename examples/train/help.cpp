#include "examples/train/help.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <sstream>

#include "examples/train/usage.h"

namespace demi::examples {
namespace {

constexpr size_t kColumn = 30, kWidth = 98;

class Help final : public CLI::Formatter {
    // "--batch N"; of a flag with a negative "--augment, --no-augment".
    static std::string names(const CLI::Option* option) {
        std::string text;
        for (std::string name : CLI::detail::split(option->get_name(option->get_positional(), true), ',')) {
            if (const size_t brace = name.find('{'); brace != std::string::npos) name.erase(brace);
            if (name.starts_with("!")) name.erase(0, 1);
            text += (text.empty() ? "" : ", ") + name;
        }
        if (option->get_expected_max() == 0 || option->get_positional()) return text;
        const std::string type = option->get_type_name();
        const char* value = type.starts_with("INT") || type.starts_with("UINT") ? " N"
                            : type.starts_with("FLOAT")                         ? " X"
                                                                                : " TEXT";
        return text + (option->get_expected_min() == 0 ? std::string(" [") + (value + 1) + "]" : value);
    }

    std::string make_option(const CLI::Option* option, bool) const override {
        std::string left = "  " + names(option), text = option->get_description();
        const std::string range = range_text(option->get_type_name());
        const bool told = text.find("default") != std::string::npos;
        std::string more = range;
        if (const size_t at = text.find("(default"); at != std::string::npos && !range.empty()) {
            text.insert(at + 1, range + "; ");
            more.clear();
        }
        if (option->get_required())
            more += (more.empty() ? "" : "; ") + std::string("needed");
        else if (!told && option->get_expected_max() != 0 && !option->get_default_str().empty())
            more += (more.empty() ? "" : "; ") + ("default " + option->get_default_str());
        if (!more.empty()) text += " (" + more + ")";
        left += left.size() + 1 < kColumn ? std::string(kColumn - left.size(), ' ')
                                          : "\n" + std::string(kColumn, ' ');
        return left + wrapped(text, kColumn, kWidth) + "\n";
    }

    std::string make_description(const CLI::App* app) const override {
        return wrapped(app->get_description(), 0, kWidth) + "\n";
    }
};

}  // namespace

std::string range_text(const std::string& type) {
    const size_t open = type.find(" in ["), dash = type.find(" - ", open);
    if (open == std::string::npos || dash == std::string::npos) return "";
    const std::string low = type.substr(open + 5, dash - open - 5);
    const std::string high = type.substr(dash + 3, type.find(']', dash) - dash - 3);
    if (high == std::to_string(INT64_MAX)) return "at least " + low;
    return low + " to " + high;
}

std::string wrapped(const std::string& text, size_t indent, size_t width) {
    std::string out;
    size_t column = indent;
    std::istringstream words(text);
    for (std::string word; words >> word;) {
        if (column > indent && column + 1 + word.size() > width) {
            out += "\n" + std::string(indent, ' ');
            column = indent;
        }
        if (column > indent) out += ' ', ++column;
        out += word;
        column += word.size();
    }
    return out;
}

void set_help(CLI::App& app, const std::string& version) {
    app.formatter(std::make_shared<Help>());
    app.set_version_flag("--version", version, "Print the version and end");
    for (CLI::Option* option : app.get_options())
        if (option->get_type_size() != 0 && option->get_default_str().empty() &&
            option->get_description().find("default") == std::string::npos)
            option->capture_default_str();
}

int parse_program(CLI::App& app, int argc, char** argv, const char* program) {
    std::string text;
    try {
        app.parse(argc, argv);
        return -1;
    } catch (const CLI::Success& asked) {  // --help, --version
        return app.exit(asked);
    } catch (const CLI::ParseError& error) {
        text = plain_range(error.what());
        std::vector<std::string> names;
        for (const CLI::Option* option : app.get_options())
            for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
        // Also where something is missing: it may have been given under a mistyped name.
        if (!app.remaining().empty()) text = unknown_arguments(app.remaining(), names);
    }
    std::fprintf(stderr, "%s: %s (see --help)\n", program, text.c_str());
    return 2;
}

}  // namespace demi::examples
