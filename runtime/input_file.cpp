#include "runtime/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "runtime/check.h"

namespace demi {

InputFile::InputFile(const char* format, const std::string& path)
    : format_(format), path_(path),
      fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {  // a pipe must not block
    check(fd_ >= 0, format, "'", path, "': cannot open: ", std::strerror(errno));
    struct stat status {};
    const bool known = fstat(fd_, &status) == 0;
    if (known && S_ISREG(status.st_mode)) {
        size_ = status.st_size;
        return;
    }
    close(fd_);  // the destructor of what was not made does not run
    check(known, format, "'", path, "': cannot read: ", std::strerror(errno));
    fail(format, "'", path, "': is not a regular file");
}

InputFile::~InputFile() { close(fd_); }

void InputFile::read(int64_t offset, void* data, int64_t bytes) const {
    char* at = static_cast<char*>(data);
    while (bytes > 0) {
        const ssize_t done = pread(fd_, at, static_cast<size_t>(std::min<int64_t>(bytes, 1 << 30)), offset);
        if (done < 0 && errno == EINTR) continue;
        check(done >= 0, format_, "'", path_, "': cannot read: ", std::strerror(errno));
        check(done > 0, format_, "'", path_, "': ends early: it was cut while being read");
        at += done;
        offset += done;
        bytes -= done;
    }
}

std::string InputFile::text(int64_t offset, int64_t bytes) const {
    std::string all(static_cast<size_t>(bytes), '\0');
    read(offset, all.data(), bytes);
    return all;
}

}  // namespace demi
