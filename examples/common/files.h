#pragma once

// Small file helpers. Every failure is an Error that names the file and the system's reason.

#include <string>
#include <string_view>

namespace demi::examples {

std::string read_text(const std::string& path);

// Writes all bytes to `fd`; `path` is for the message.
void write_all(int fd, std::string_view bytes, const std::string& path);

// Temporary file beside `path`, fsync, rename, fsync of the folder: after a crash the old file or the new one
// is there, whole.
void write_atomically(const std::string& path, std::string_view bytes);

// The folder and its parents.
void make_folders(const std::string& path);
void make_parent_folders(const std::string& file);  // those that the file needs

bool exists(const std::string& path);

}  // namespace demi::examples
