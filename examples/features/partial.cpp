#include "examples/features/partial.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "examples/common/files.h"
#include "examples/common/run_folder.h"
#include "runtime/check.h"

namespace demi::examples {
namespace {

constexpr int64_t kMaxHeader = int64_t{1} << 20;

int64_t size_of_file(int fd) {
    struct stat found = {};
    return ::fstat(fd, &found) == 0 ? static_cast<int64_t>(found.st_size) : 0;
}

}  // namespace

PartialFile::PartialFile(const std::string& path, const Record& settings, int64_t values, bool resume)
    : path_(path), values_(values) {
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    check(fd_ >= 0, "file", "cannot write ", path, ": ", std::strerror(errno));
    try {
        check(::flock(fd_, LOCK_EX | LOCK_NB) == 0, "extract", path, ": another process writes it");
        if (!resume)
            check(::ftruncate(fd_, 0) == 0, "file", "cannot write ", path, ": ", std::strerror(errno));
        read_header(settings);
        check(::lseek(fd_, 0, SEEK_END) >= 0, "file", "cannot write ", path, ": ", std::strerror(errno));
        if (start_ > 0) return;
        const std::string line = to_json(settings) + "\n";
        write_all(fd_, line, path_);
        start_ = std::ssize(line);
    } catch (...) {
        ::close(fd_);
        throw;
    }
}

PartialFile::~PartialFile() {
    if (pictures_.empty()) ::unlink(path_.c_str());
    ::close(fd_);
}

void PartialFile::read_at(int64_t offset, void* data, int64_t bytes) const {
    auto* to = static_cast<char*>(data);
    while (bytes > 0) {
        const ssize_t n = ::pread(fd_, to, static_cast<size_t>(bytes), offset);
        if (n < 0 && errno == EINTR) continue;
        check(n > 0, "file", "cannot read ", path_, ": ", n < 0 ? std::strerror(errno) : "it became shorter");
        to += n;
        offset += n;
        bytes -= n;
    }
}

void PartialFile::read_header(const Record& settings) {
    const int64_t size = size_of_file(fd_);
    std::string head(static_cast<size_t>(std::min(size, kMaxHeader)), '\0');
    read_at(0, head.data(), std::ssize(head));
    const size_t end = head.find('\n');
    if (end == std::string::npos) {  // ended before its first line
        check(size < kMaxHeader, "extract", path_, ": a file that this program did not write is in the way");
        check(::ftruncate(fd_, 0) == 0, "file", "cannot write ", path_, ": ", std::strerror(errno));
        return;
    }
    const auto there = parse_record(head.substr(0, end));
    check(there.has_value(), "extract", path_, ": a file that this program did not write is in the way");
    std::string text;
    for (const std::string& difference : differences(*there, settings, {})) text += "\n  " + difference;
    check(text.empty(), "extract", path_,
          " is what an interrupted run with other settings left (--no-resume throws it away):", text);
    start_ = static_cast<int64_t>(end) + 1;
    const int64_t records = (size - start_) / record_bytes();
    for (int64_t i = 0; i < records; ++i) {
        int64_t picture = 0;
        read_at(start_ + i * record_bytes(), &picture, 8);
        check(picture > (pictures_.empty() ? -1 : pictures_.back()), "extract", path_, ": record ", i,
              " is damaged");
        pictures_.push_back(picture);
    }
    check(::ftruncate(fd_, start_ + records * record_bytes()) == 0, "file", "cannot write ", path_, ": ",
          std::strerror(errno));
}

void PartialFile::append(std::span<const int64_t> pictures, const Tensor& rows) {
    check(rows.shape() == Shape({std::ssize(pictures), values_}), "extract", "rows of ", values_,
          " values are needed, got ", rows.shape());
    const Tensor flat = rows.contiguous();
    const auto* from = reinterpret_cast<const char*>(flat.data<float>());
    const auto bytes = static_cast<size_t>(4 * values_);
    std::string records;
    records.reserve(pictures.size() * (8 + bytes));
    for (size_t i = 0; i < pictures.size(); ++i) {
        records.append(reinterpret_cast<const char*>(&pictures[i]), 8);
        records.append(from + i * bytes, bytes);
    }
    write_all(fd_, records, path_);
    pictures_.insert(pictures_.end(), pictures.begin(), pictures.end());
}

Tensor PartialFile::read(int64_t first, int64_t count, int64_t begin, int64_t width) const {
    Tensor out = Tensor::empty({count, width});
    float* to = out.mutable_data<float>();
    for (int64_t i = 0; i < count; ++i)
        read_at(start_ + (first + i) * record_bytes() + 8 + 4 * begin, to + i * width, 4 * width);
    return out;
}

void PartialFile::remove() {
    ::unlink(path_.c_str());
    pictures_.clear();
}

}  // namespace demi::examples
