#pragma once
// Internal: options of one group of a trainer's command line.
#include <CLI/CLI.hpp>

namespace demi::examples {

struct OptionGroup {
    CLI::App& app;
    const char* name;

    // A number from low to high, of their type; what `value` holds is shown as the default.
    template <class V, class T>
    void number(const char* flag, V& value, T low, T high, const char* text) const {
        app.add_option(flag, value, text)->check(CLI::Range(low, high))->capture_default_str()->group(name);
    }
};

}  // namespace demi::examples
