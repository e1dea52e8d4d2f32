#pragma once
// Internal: a regular file that is read at any place. Errors begin with the name of the format.
#include <cstdint>
#include <string>

#include "runtime/non_copyable.h"

namespace demi {

class InputFile : NonCopyable {
  public:
    InputFile(const char* format, const std::string& path);  // throws where it cannot be opened
    ~InputFile();

    const std::string& path() const { return path_; }
    int64_t size() const { return size_; }
    // All the bytes or an Error. Threads may read at the same time.
    void read(int64_t offset, void* data, int64_t bytes) const;
    std::string text(int64_t offset, int64_t bytes) const;

  private:
    const char* format_;
    std::string path_;
    int fd_ = -1;
    int64_t size_ = 0;
};

}  // namespace demi
