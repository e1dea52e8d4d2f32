#pragma once
// Safetensors files by hand: what the writer would never write.
#include <cstdint>
#include <string>

namespace demi::test {

inline std::string with_length(uint64_t length, const std::string& rest) {
    std::string out(8, '\0');
    for (size_t i = 0; i < 8; ++i) out[i] = static_cast<char>(length >> (8 * i));
    return out + rest;
}

inline std::string file_of(const std::string& header, size_t data_bytes = 0) {
    return with_length(header.size(), header + std::string(data_bytes, '\1'));
}

inline std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

}  // namespace demi::test
