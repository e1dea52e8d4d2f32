#include "runtime/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "runtime/check.h"

namespace demi {

static int sync(int fd) {
    int result = 0;
    do result = fsync(fd);
    while (result != 0 && errno == EINTR);
    return result;
}

static std::string folder_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
    static std::atomic<unsigned> counter{0};
    struct stat status {};
    if (stat(path_.c_str(), &status) == 0 &&
        !S_ISREG(status.st_mode))  // a rename would replace a device or a pipe
        fail("write", "cannot replace '", path_, "': it is not a regular file");
    for (int attempt = 0; attempt < 100;
         ++attempt) {  // a killed process of the same number may have left its file
        temporary_ = path_ + ".tmp." + std::to_string(getpid()) + "." + std::to_string(counter.fetch_add(1));
        fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd_ >= 0 || errno != EEXIST) break;
    }
    if (fd_ < 0) refuse("cannot create");
}

AtomicFile::~AtomicFile() {
    if (fd_ >= 0) {
        close(fd_);
        unlink(temporary_.c_str());
    }
}

void AtomicFile::refuse(const char* step) {
    const std::string reason = std::strerror(errno);
    if (fd_ >= 0) {
        close(fd_);
        unlink(temporary_.c_str());
        fd_ = -1;
    }
    fail("write", step, " '", path_, "': ", reason);
}

void AtomicFile::write(const void* data, size_t bytes) {
    check(fd_ >= 0, "write", "'", path_, "' was already finished");
    const char* at = static_cast<const char*>(data);
    while (bytes > 0) {
        const ssize_t done = ::write(fd_, at, bytes);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) {
            if (done == 0) errno = ENOSPC;
            refuse("cannot write");
        }
        at += done;
        bytes -= static_cast<size_t>(done);
    }
}

void AtomicFile::write_at(size_t offset, std::string_view text) {
    check(fd_ >= 0, "write", "'", path_, "' was already finished");
    if (lseek(fd_, static_cast<off_t>(offset), SEEK_SET) < 0) refuse("cannot write");
    write(text);
    if (lseek(fd_, 0, SEEK_END) < 0) refuse("cannot write");
}

void AtomicFile::commit() {
    check(fd_ >= 0, "write", "'", path_, "' was already finished");
    if (sync(fd_) != 0) refuse("cannot sync");
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) refuse("cannot rename over");
    close(fd_);
    fd_ = -1;
    const int folder = open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) refuse("cannot open the folder of");
    const bool synced = sync(folder) == 0 || errno == EINVAL || errno == EROFS;  // not every file system can
    const int reason = errno;
    close(folder);
    errno = reason;
    if (!synced) refuse("cannot sync the folder of");
}

void write_file_atomic(const std::string& path, std::string_view text) {
    AtomicFile file(path);
    file.write(text);
    file.commit();
}

}  // namespace demi
