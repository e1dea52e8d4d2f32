#include "examples/common/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "runtime/check.h"

namespace demi::examples {
namespace {

void fail(const std::string& what, const std::string& path, int code) {
    check(false, "file", "cannot ", what, " ", path, ": ", std::strerror(code));
}

}  // namespace

std::string read_text(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) fail("open", path, errno);
    std::string text{std::istreambuf_iterator<char>(in), {}};
    if (in.bad()) fail("read", path, errno);
    return text;
}

void write_all(int fd, std::string_view bytes, const std::string& path) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail("write", path, errno);
        bytes.remove_prefix(static_cast<size_t>(n));
    }
}

void write_atomically(const std::string& path, std::string_view bytes) {
    const std::string temporary = path + ".tmp" + std::to_string(::getpid());
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) fail("write", path, errno);
    try {
        write_all(fd, bytes, path);
        if (::fsync(fd) != 0) fail("write", path, errno);
        if (::rename(temporary.c_str(), path.c_str()) != 0) fail("write", path, errno);
    } catch (...) {
        ::close(fd);
        ::unlink(temporary.c_str());
        throw;
    }
    ::close(fd);
    const std::string parent = std::filesystem::path(path).parent_path().string();
    const int folder = ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return;
    ::fsync(folder);  // some file systems cannot; the rename stands all the same
    ::close(folder);
}

void make_folders(const std::string& path) {
    std::error_code code;
    std::filesystem::create_directories(path, code);
    check(!code, "file", "cannot create folder ", path, ": ", code.message());
    check(std::filesystem::is_directory(path, code), "file", "cannot create folder ", path,
          ": a file is in the way");
}

void make_parent_folders(const std::string& file) {
    const std::string parent = std::filesystem::path(file).parent_path().string();
    if (!parent.empty()) make_folders(parent);
}

bool exists(const std::string& path) {
    std::error_code code;
    return std::filesystem::exists(path, code);
}

}  // namespace demi::examples
