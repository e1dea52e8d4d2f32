#pragma once
// Internal: ZIP archives as torch.save writes them: entries stored, not compressed; more than 4 GiB (ZIP64) too.
// Nothing that the file says of itself is believed: offsets and sizes lie inside the file, entries do not
// overlap, both headers of an entry agree, names are unique and printable.
#include <memory>
#include <string>
#include <vector>

#include "runtime/input_file.h"

namespace demi {

struct ZipEntry {
    std::string name;
    int64_t begin = 0, size = 0;  // of the data in the file
    int64_t header = 0;           // where the entry's own header begins
    uint32_t crc = 0;
    bool stored = true, encrypted = false;
};

// What the central directory lists, in its order. Compressed entries are listed: the archive may be something
// else than a checkpoint, and its names tell what.
std::vector<ZipEntry> list_zip(const InputFile& file);

// Finds the data of every entry by its own header, and checks all entries against each other.
void locate_zip_entries(const InputFile& file, std::vector<ZipEntry>& entries);

// CRC-32 (that of ZIP, gzip and PNG); `start` is the result for the bytes before.
uint32_t crc32(const void* data, size_t bytes, uint32_t start = 0);
// The CRC-32 of two pieces behind one another, from theirs and the length of the second.
uint32_t crc32_joined(uint32_t first, uint32_t second, uint64_t second_bytes);

}  // namespace demi
