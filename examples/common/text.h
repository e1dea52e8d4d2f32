#pragma once

// Text that comes from users (file and class names) made safe for JSON, HTML and a terminal.

#include <string>
#include <string_view>

namespace demi::examples {

// The same text with every byte sequence that is not UTF-8 replaced by U+FFFD.
std::string valid_utf8(std::string_view text);

// A JSON string with its quotes. '<', '>' and '&' are written as \u003c..., so the
// result is safe inside <script>.
std::string json_quote(std::string_view text);

// & < > " ' escaped, control characters replaced: safe in HTML text and in quoted attributes.
std::string html_escape(std::string_view text);

// Columns that UTF-8 text takes in a terminal: wide East Asian characters and emoji count
// two, combining marks none.
int display_width(std::string_view text);

// The longest prefix that fits into `columns`.
std::string_view clip_to_width(std::string_view text, int columns);

}  // namespace demi::examples
