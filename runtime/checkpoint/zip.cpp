#include "runtime/checkpoint/zip.h"

#include <algorithm>
#include <set>

#include "runtime/check.h"
#include "runtime/utf8.h"

namespace demi {
namespace {

constexpr int64_t kEndBytes = 22, kMaxComment = 65535, kMaxDirectory = 64 << 20;
constexpr uint32_t kEnd = 0x06054b50, kLocator64 = 0x07064b50, kEnd64 = 0x06064b50, kCentral = 0x02014b50,
                   kLocal = 0x04034b50;

template <class... Parts> [[noreturn]] void refuse(const InputFile& file, const Parts&... parts) {
    fail("checkpoint", "'", file.path(), "': ", parts...);
}

uint64_t number(std::string_view bytes, size_t at, size_t count) {
    uint64_t value = 0;
    for (size_t i = count; i > 0; --i) value = value << 8 | static_cast<uint8_t>(bytes[at + i - 1]);
    return value;
}
uint32_t u16(std::string_view bytes, size_t at) { return static_cast<uint32_t>(number(bytes, at, 2)); }
uint32_t u32(std::string_view bytes, size_t at) { return static_cast<uint32_t>(number(bytes, at, 4)); }

struct Directory {
    uint64_t entries = 0, bytes = 0, begin = 0;
};

// The record at the very end of the file, behind which only its own comment may lie.
int64_t find_end(const InputFile& file, std::string& record) {
    const int64_t window = std::min(file.size(), kEndBytes + kMaxComment), from = file.size() - window;
    const std::string tail = file.text(from, window);
    for (int64_t at = window - kEndBytes; at >= 0; --at) {
        const auto i = static_cast<size_t>(at);
        if (u32(tail, i) != kEnd || u16(tail, i + 20) != static_cast<uint64_t>(window - at - kEndBytes))
            continue;
        record = tail.substr(i, kEndBytes);
        return from + at;
    }
    refuse(file, "is a ZIP archive whose end is missing: it was truncated (is the download complete?)");
}

Directory find_directory(const InputFile& file) {
    std::string end;
    int64_t at = find_end(file, end);
    Directory found{u16(end, 10), u32(end, 12), u32(end, 16)};
    uint64_t disks = u16(end, 4) | u16(end, 6) | (u16(end, 8) ^ found.entries);
    if (at >= 20) {
        const std::string locator = file.text(at - 20, 20);
        if (u32(locator, 0) == kLocator64) {
            const uint64_t where = number(locator, 8, 8);
            if (where > static_cast<uint64_t>(at - 20) || static_cast<uint64_t>(at - 20) - where < 56)
                refuse(file, "damaged ZIP archive: its ZIP64 end record lies outside the file");
            at = static_cast<int64_t>(where);
            const std::string end64 = file.text(at, 56);
            if (u32(end64, 0) != kEnd64) refuse(file, "damaged ZIP archive: it has no ZIP64 end record");
            found = {number(end64, 32, 8), number(end64, 40, 8), number(end64, 48, 8)};
            disks = u32(end64, 16) | u32(end64, 20) | (number(end64, 24, 8) ^ found.entries);
        }
    }
    if (disks != 0) refuse(file, "damaged ZIP archive: it says that it has several parts");
    if (found.begin > static_cast<uint64_t>(at) || found.bytes != static_cast<uint64_t>(at) - found.begin)
        refuse(file, "damaged ZIP archive: its directory of ", found.bytes, " bytes at ", found.begin,
               " does not end where its end record begins, at ", at,
               " (or a .distcp shard of torch.distributed: convert its folder in PyTorch)");
    if (found.bytes > kMaxDirectory || found.entries > found.bytes / 46)
        refuse(file, "damaged ZIP archive: a directory of ", found.bytes, " bytes cannot hold ",
               found.entries, " entries");
    return found;
}

// Sizes and offset where they are 0xffffffff in the directory: 8 bytes each, in this order.
void read_zip64(const InputFile& file, std::string_view extra, uint64_t* const (&fields)[3]) {
    std::string_view wide;
    for (size_t at = 0; at + 4 <= extra.size();) {
        const size_t bytes = u16(extra, at + 2);
        if (bytes > extra.size() - at - 4) refuse(file, "damaged ZIP archive: an extra field is cut");
        if (u16(extra, at) == 1) wide = extra.substr(at + 4, bytes);
        at += 4 + bytes;
    }
    for (uint64_t* field : fields) {
        if (*field != 0xffffffff) continue;
        if (wide.size() < 8) refuse(file, "damaged ZIP archive: a ZIP64 size is missing");
        *field = number(wide, 0, 8);
        wide.remove_prefix(8);
    }
}

}  // namespace

std::vector<ZipEntry> list_zip(const InputFile& file) {
    const Directory directory = find_directory(file);
    const std::string all =
        file.text(static_cast<int64_t>(directory.begin), static_cast<int64_t>(directory.bytes));
    const std::string_view bytes = all;
    std::vector<ZipEntry> entries;
    size_t at = 0;
    for (uint64_t i = 0; i < directory.entries; ++i) {
        if (bytes.size() - at < 46 || u32(bytes, at) != kCentral)
            refuse(file, "damaged ZIP archive: entry ", i, " of its directory is not one");
        const size_t name = u16(bytes, at + 28), extra = u16(bytes, at + 30), comment = u16(bytes, at + 32);
        if (name + extra + comment > bytes.size() - at - 46)
            refuse(file, "damaged ZIP archive: entry ", i, " of its directory is cut");
        uint64_t packed = u32(bytes, at + 20), size = u32(bytes, at + 24), header = u32(bytes, at + 42);
        read_zip64(file, bytes.substr(at + 46 + name, extra), {&size, &packed, &header});
        ZipEntry entry;
        entry.name = bytes.substr(at + 46, name);
        entry.crc = u32(bytes, at + 16);
        entry.encrypted = (u16(bytes, at + 8) & 0x41) != 0;
        entry.stored = u16(bytes, at + 10) == 0 && packed == size;
        if (!is_printable(entry.name) || name == 0)
            refuse(file, "damaged ZIP archive: the name of entry ", i, " is not printable");
        if (size > directory.begin || header > directory.begin)
            refuse(file, "damaged ZIP archive: '", entry.name, "' of ", size, " bytes at ", header,
                   " does not lie before the directory at ", directory.begin);
        entry.size = static_cast<int64_t>(size);
        entry.header = static_cast<int64_t>(header);
        entry.begin = static_cast<int64_t>(directory.begin);  // the end of the room, until it is located
        entries.push_back(std::move(entry));
        at += 46 + name + extra + comment;
    }
    if (at != bytes.size()) refuse(file, "damaged ZIP archive: bytes behind the last entry of its directory");
    return entries;
}

void locate_zip_entries(const InputFile& file, std::vector<ZipEntry>& entries) {
    std::set<std::string_view> names;
    for (const ZipEntry& entry : entries) {
        if (!names.insert(entry.name).second)
            refuse(file, "holds '", entry.name, "' twice (duplicate entry)");
        if (entry.encrypted) refuse(file, "'", entry.name, "' is encrypted");
        if (!entry.stored)
            refuse(file, "'", entry.name, "' is compressed: torch.save stores entries as they are");
    }
    std::vector<ZipEntry*> order;
    for (ZipEntry& entry : entries) order.push_back(&entry);
    std::stable_sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->header < b->header; });
    for (size_t i = 0; i < order.size(); ++i) {
        ZipEntry& entry = *order[i];
        const int64_t room = i + 1 < order.size() ? order[i + 1]->header : entry.begin;
        if (room - entry.header < 30)
            refuse(file, "damaged ZIP archive: '", entry.name, "' overlaps what follows it");
        const std::string head = file.text(entry.header, 30);
        const int64_t name = u16(head, 26), extra = u16(head, 28);
        if (u32(head, 0) != kLocal)
            refuse(file, "damaged ZIP archive: no header of '", entry.name, "' where it should be");
        entry.begin = entry.header + 30 + name + extra;
        if (entry.begin > room || entry.size > room - entry.begin)
            refuse(file, "damaged ZIP archive: '", entry.name, "' overlaps what follows it");
        if (u16(head, 8) != 0 || name != static_cast<int64_t>(entry.name.size()) ||
            file.text(entry.header + 30, name) != entry.name)
            refuse(file, "damaged ZIP archive: the two headers of '", entry.name, "' differ");
    }
}

}  // namespace demi
