#include "examples/common/events.h"

#include <fcntl.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "examples/common/files.h"
#include "runtime/check.h"
#include "runtime/safetensors.h"

namespace demi::examples {
namespace {

// TensorFlow's record file: length, masked checksum of it, bytes, masked checksum of them; the bytes are one
// Event in protocol buffer form.
void put_number(std::string& out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
}

void put_varint(std::string& out, uint64_t value) {
    for (; value >= 128; value >>= 7) out += static_cast<char>(value | 128);
    out += static_cast<char>(value);
}

void put_text(std::string& out, int field, const std::string& text) {
    put_varint(out, static_cast<uint64_t>(field) << 3 | 2);
    put_varint(out, text.size());
    out += text;
}

uint32_t masked(const std::string& bytes) {
    const uint32_t sum = crc32c(bytes.data(), bytes.size());
    return (sum >> 15 | sum << 17) + 0xa282ead8u;
}

std::string event_at(double wall_time, int64_t step) {
    std::string event = "\x09";  // field 1, 64 bits
    put_number(event, std::bit_cast<uint64_t>(wall_time), 8);
    event += '\x10';  // field 2, varint
    put_varint(event, static_cast<uint64_t>(step));
    return event;
}

}  // namespace

EventsFile::EventsFile(std::string path) : path_(std::move(path)) {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    check(fd_ >= 0, "events", "cannot write ", path_, ": ", std::strerror(errno));
    std::string event = event_at(0, 0);
    put_text(event, 3, "brain.Event:2");
    put(event);
}

EventsFile::~EventsFile() { ::close(fd_); }

void EventsFile::put(const std::string& event) {
    std::string length, record;
    put_number(length, event.size(), 8);
    record = length;
    put_number(record, masked(length), 4);
    record += event;
    put_number(record, masked(event), 4);
    write_all(fd_, record, path_);
}

void EventsFile::add(const Record& record, double wall_time) {
    std::string summary;
    for (const auto& [name, value] : record.fields()) {
        if (name == "step" || name == "epoch") continue;
        const double number = record.number(name);
        if (std::isnan(number) && to_text(value) != "nan") continue;  // a text
        std::string scalar;
        put_text(scalar, 1, name);
        scalar += '\x15';  // field 2, 32 bits
        put_number(scalar, std::bit_cast<uint32_t>(static_cast<float>(number)), 4);
        put_text(summary, 1, scalar);
    }
    if (summary.empty()) return;
    std::string event = event_at(wall_time, static_cast<int64_t>(record.number("step")));
    put_text(event, 5, summary);
    put(event);
}

}  // namespace demi::examples
