#pragma once
// Internal: JSON as plain values, parsed by nlohmann-json in one file, which is the only one
// that pays for its templates.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace demi {

struct Json {
    enum class Kind { null, boolean, integer, natural, real, text, list, object };

    Kind kind = Kind::null;
    bool boolean = false;
    int64_t integer = 0;   // below zero
    uint64_t natural = 0;  // a whole number without a sign
    double real = 0;
    std::string text = {};         // of a text; of a real number its digits as they stood
    std::vector<Json> items = {};  // of a list
    std::vector<std::pair<std::string, Json>> members = {};  // of an object, in the order of the text

    bool is(Kind k) const { return kind == k; }
    const Json* find(std::string_view key) const;  // of an object; null when it has no such member
    std::string dump() const;                      // compact
};

// Strict: throws std::runtime_error saying what is wrong, also for an equal key in one object and for nesting
// deeper than max_depth (an object that holds a number has depth 1).
Json parse_json(std::string_view text, int max_depth);

// Appends the text with its quotes, escaped. False when it is not UTF-8.
[[nodiscard]] bool append_json(std::string& out, std::string_view text);

}  // namespace demi
