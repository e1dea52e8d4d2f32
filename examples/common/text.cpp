#include "examples/common/text.h"

#include <cstdint>
#include <cstdio>

#include "runtime/utf8.h"

namespace demi::examples {
namespace {

bool in_range(uint32_t c, uint32_t first, uint32_t last) { return c >= first && c <= last; }

int columns_of(uint32_t c) {
    if (c < 0x20 || in_range(c, 0x7f, 0x9f)) return 0;
    if (in_range(c, 0x300, 0x36f) || in_range(c, 0x200b, 0x200f) || in_range(c, 0xfe00, 0xfe0f) ||
        in_range(c, 0x202a, 0x202e) || c == 0x2060 || c == 0xfeff)
        return 0;
    const bool wide = in_range(c, 0x1100, 0x115f) || in_range(c, 0x2e80, 0xa4cf) ||
                      in_range(c, 0xac00, 0xd7a3) || in_range(c, 0xf900, 0xfaff) ||
                      in_range(c, 0xfe30, 0xfe6f) || in_range(c, 0xff00, 0xff60) ||
                      in_range(c, 0xffe0, 0xffe6) || in_range(c, 0x1f300, 0x1f64f) ||
                      in_range(c, 0x1f900, 0x1f9ff) || in_range(c, 0x20000, 0x3fffd);
    return wide ? 2 : 1;
}

}  // namespace

std::string valid_utf8(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const CodePoint c = decode_utf8(text);
        if (c.valid)
            out += text.substr(0, c.bytes);
        else
            out += "\ufffd";
        text.remove_prefix(c.bytes);
    }
    return out;
}

std::string json_quote(std::string_view text) {
    std::string out = "\"";
    for (const char c : valid_utf8(text)) {
        const auto u = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (c == '\n') {
            out += "\\n";
        } else if (c == '\t') {
            out += "\\t";
        } else if (u < 0x20 || c == '<' || c == '>' || c == '&') {
            char hex[8];
            std::snprintf(hex, sizeof hex, "\\u%04x", static_cast<unsigned>(u));
            out += hex;
        } else {
            out += c;
        }
    }
    return out + '"';
}

std::string html_escape(std::string_view text) {
    std::string out;
    for (const char c : valid_utf8(text)) {
        const auto u = static_cast<unsigned char>(c);
        if (c == '&')
            out += "&amp;";
        else if (c == '<')
            out += "&lt;";
        else if (c == '>')
            out += "&gt;";
        else if (c == '"')
            out += "&quot;";
        else if (c == '\'')
            out += "&#39;";
        else if ((u < 0x20 && c != '\n' && c != '\t') || u == 0x7f)
            out += "\ufffd";
        else
            out += c;
    }
    return out;
}

int display_width(std::string_view text) {
    int columns = 0;
    while (!text.empty()) {
        const CodePoint c = decode_utf8(text);
        columns += c.valid ? columns_of(c.value) : 1;
        text.remove_prefix(c.bytes);
    }
    return columns;
}

std::string_view clip_to_width(std::string_view text, int columns) {
    size_t end = 0;
    while (end < text.size()) {
        const CodePoint c = decode_utf8(text.substr(end));
        columns -= c.valid ? columns_of(c.value) : 1;
        if (columns < 0) break;
        end += c.bytes;
    }
    return text.substr(0, end);
}

}  // namespace demi::examples
