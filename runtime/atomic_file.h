#pragma once
// Files that appear whole or not at all: written to a temporary sibling, synced,
// then renamed over the target.
#include <cstddef>
#include <string>
#include <string_view>

#include "runtime/non_copyable.h"

namespace demi {

class AtomicFile : NonCopyable {
  public:
    explicit AtomicFile(std::string path);  // throws Error naming the path and the system's reason
    ~AtomicFile();  // without commit(): the temporary file is removed, the target untouched

    void write(const void* data, size_t bytes);
    void write(std::string_view text) { write(text.data(), text.size()); }
    // Over what was written already, at so many bytes from the start.
    void write_at(size_t offset, std::string_view text);
    void commit();  // fsync, rename, fsync of the folder

  private:
    [[noreturn]] void refuse(const char* step);

    std::string path_, temporary_;
    int fd_ = -1;
};

// The whole text in one go.
void write_file_atomic(const std::string& path, std::string_view text);

}  // namespace demi
