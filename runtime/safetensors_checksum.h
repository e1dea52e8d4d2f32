#pragma once
// Internal: how checksums lie in a safetensors header. Decimal, ten digits, so that the header's length does
// not depend on them.
#include <string>

#include "runtime/safetensors.h"

namespace demi {

inline constexpr const char* kHeaderChecksum = "crc32c";
inline constexpr size_t kChecksumDigits = 10;

inline std::string tensor_checksum(const std::string& name) { return "crc32c." + name; }
inline bool is_checksum_key(const std::string& key) {
    return key == kHeaderChecksum || key.starts_with("crc32c.");
}

inline std::string checksum_text(uint32_t sum) {
    const std::string digits = std::to_string(sum);
    return std::string(kChecksumDigits - digits.size(), '0') + digits;
}

// Where the digits of the header's own checksum begin in its text; npos where it has none.
inline size_t header_checksum_at(const std::string& text) {
    const std::string before = '"' + std::string(kHeaderChecksum) + "\":\"";
    size_t at = text.find(before);
    while (at != std::string::npos && at > 0 && text[at - 1] == '\\')
        at = text.find(before, at + 1);  // escaped quote
    return at == std::string::npos ? at : at + before.size();
}

}  // namespace demi
