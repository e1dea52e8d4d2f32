#include "examples/common/text.h"

#include <cstdint>
#include <cstdio>

namespace demi::examples {
namespace {

struct CodePoint {
    uint32_t value = 0;
    size_t bytes = 1;
    bool valid = false;
};

CodePoint decode(std::string_view text) {
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
    const uint8_t lead = byte(0);
    if (lead < 0x80) return {lead, 1, true};
    const size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() < bytes) return {};
    uint32_t value = lead & (0x7fu >> bytes);
    for (size_t i = 1; i < bytes; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return {};
        value = value << 6 | (byte(i) & 0x3fu);
    }
    const bool overlong = (bytes == 3 && value < 0x800) || (bytes == 4 && value < 0x10000);
    const bool surrogate = value >= 0xd800 && value < 0xe000;
    if (overlong || surrogate || value > 0x10ffff) return {};
    return {value, bytes, true};
}

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
        const CodePoint c = decode(text);
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
        const CodePoint c = decode(text);
        columns += c.valid ? columns_of(c.value) : 1;
        text.remove_prefix(c.bytes);
    }
    return columns;
}

std::string_view clip_to_width(std::string_view text, int columns) {
    size_t end = 0;
    while (end < text.size()) {
        const CodePoint c = decode(text.substr(end));
        columns -= c.valid ? columns_of(c.value) : 1;
        if (columns < 0) break;
        end += c.bytes;
    }
    return text.substr(0, end);
}

}  // namespace demi::examples
