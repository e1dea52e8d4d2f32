#pragma once
// Whole files into memory, with limits. Messages name the file and the reason.
#include <cstdint>
#include <filesystem>
#include <vector>

namespace demi::data {

inline constexpr int64_t kMaxFileBytes = int64_t{4} << 30;

// Throws where the file is missing, no regular file, unreadable or larger than the limit.
std::vector<uint8_t> read_file(const std::filesystem::path& path, int64_t max_bytes = kMaxFileBytes);

// The same, and unpacked where the content begins with gzip's magic. Unpacking stops after `enough` bytes, so
// a small file cannot fill the memory.
std::vector<uint8_t> read_file_or_gz(const std::filesystem::path& path, int64_t enough = kMaxFileBytes);

}  // namespace demi::data
