#include "examples/common/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>

#include "examples/common/files.h"
#include "runtime/check.h"

namespace demi::examples {
namespace {

int open_file(const std::string& path, int flags) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0666);
    check(fd >= 0, "metrics", "cannot write ", path, ": ", std::strerror(errno));
    return fd;
}

double now() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Bytes of the leading lines that belong to steps up to `step`.
int64_t length_up_to(const std::string& text, int64_t step) {
    size_t begin = 0;
    for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
        const auto record = parse_record(std::string_view(text).substr(begin, end - begin));
        if (!record) break;
        const double at = record->number("step");
        if (at > static_cast<double>(step)) break;
    }
    return static_cast<int64_t>(begin);
}

}  // namespace

MetricsWriter::MetricsWriter(std::string path) : path_(std::move(path)), fd_(open_file(path_, O_TRUNC)) {}

MetricsWriter::MetricsWriter(std::string path, int64_t resumed_step) : path_(std::move(path)) {
    if (exists(path_)) size_ = length_up_to(read_text(path_), resumed_step);
    fd_ = open_file(path_, 0);
    if (::ftruncate(fd_, size_) == 0) return;
    const int code = errno;
    ::close(fd_);
    check(false, "metrics", "cannot cut ", path_, " back to step ", resumed_step, ": ", std::strerror(code));
}

MetricsWriter::~MetricsWriter() { ::close(fd_); }

void MetricsWriter::write(const Record& record) {
    const Value* step = record.find("step");
    check(step != nullptr && std::holds_alternative<int64_t>(*step), "metrics",
          "a record needs an integer field \"step\": ", to_json(record));
    const std::string line = to_json(record) + "\n";
    try {
        write_all(fd_, line, path_);
    } catch (...) {
        [[maybe_unused]] const int ignored = ::ftruncate(fd_, size_);
        throw;
    }
    size_ += static_cast<int64_t>(line.size());
    if (events_) events_->add(record, now());
}

void MetricsWriter::mirror(const std::string& path) {
    events_ = std::make_unique<EventsFile>(path);
    for (const Record& record : read_metrics(path_)) events_->add(record, now());
}

void MetricsWriter::sync() {
    // Pipes and some special files cannot be synced; that is no loss of data.
    const bool ok = ::fsync(fd_) == 0 || errno == EINVAL || errno == EROFS;
    check(ok, "metrics", "cannot write ", path_, ": ", std::strerror(errno));
}

std::vector<Record> read_metrics(const std::string& path) {
    const std::string text = read_text(path);
    std::vector<Record> records;
    size_t begin = 0;
    for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
        auto record = parse_record(std::string_view(text).substr(begin, end - begin));
        check(record.has_value(), "metrics", path, " line ", records.size() + 1, " is not a JSON object");
        records.push_back(std::move(*record));
    }
    return records;
}

Columns columns(const std::vector<Record>& records, const std::string& x, const std::string& y) {
    Columns out;
    for (const Record& record : records) {
        if (record.find(x) == nullptr || record.find(y) == nullptr) continue;
        out.x.push_back(record.number(x));
        out.y.push_back(record.number(y));
    }
    return out;
}

}  // namespace demi::examples
