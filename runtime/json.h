#pragma once
// JSON (RFC 8259) as far as file headers need it: a strict reader and string quoting. Invalid UTF-8,
// duplicate keys and deep nesting are errors. Numbers keep their text.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace demi {

struct Json {
    enum class Kind : uint8_t { null, boolean, number, string, array, object };

    Kind kind = Kind::null;
    std::string text;  // of a string: its value; of a number or boolean: as written
    std::vector<Json> items;
    std::vector<std::pair<std::string, Json>> members;  // in the order of the text

    bool is(Kind wanted) const { return kind == wanted; }
    const Json* find(std::string_view key) const;  // a member, or null
    std::string shown() const;                     // as JSON, for messages
};

// An unsigned number without fraction or exponent, at most 2^63 - 1.
bool to_size(const Json& value, int64_t& size);

// Returns what is wrong with the text, or "".
std::string parse_json(std::string_view text, Json& value);

// Appends text with quotes and escapes; false where it is not UTF-8.
bool append_quoted(std::string& out, std::string_view text);

}  // namespace demi
