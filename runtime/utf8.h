#pragma once
// Internal: UTF-8 text.
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace demi {

struct CodePoint {
    uint32_t value = 0;
    size_t bytes = 1;
    bool valid = false;
};

// The code point at the start of a text, which must not be empty. An invalid start (cut off, overlong, a surrogate) counts as one byte.
inline CodePoint decode_utf8(std::string_view text) {
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

// UTF-8 without control characters: what a message can show in one line.
inline bool is_printable(std::string_view text) {
    while (!text.empty()) {
        const CodePoint c = decode_utf8(text);
        if (!c.valid || c.value < 0x20 || c.value == 0x7f) return false;
        text.remove_prefix(c.bytes);
    }
    return true;
}

}  // namespace demi
