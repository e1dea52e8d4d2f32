#include <algorithm>
#include <cstring>
#include <fstream>
#include <mutex>
#include <string_view>

#include "examples/data/decode.h"
#include "examples/data/folder.h"
#include "runtime/check.h"
#include "runtime/parallel.h"

namespace demi::data {
namespace {

// Whether the file begins as a picture and, for the kinds that have a mark of their end, ends as one. Some
// files are fine all the same (cameras append things): then only decoding tells.
bool looks_whole(const std::filesystem::path& path) {
    constexpr std::streamoff kTail = 1024;
    std::ifstream in(path, std::ios::binary);
    uint8_t first[32] = {};
    in.read(reinterpret_cast<char*>(first), sizeof first);
    const FileType type = file_type({first, static_cast<size_t>(in.gcount())});
    in.clear();
    in.seekg(0, std::ios::end);
    const std::streamoff size = in.tellg();
    if (type == FileType::webp) {
        const uint64_t said = uint64_t{first[4]} | uint64_t{first[5]} << 8 | uint64_t{first[6]} << 16 |
                              uint64_t{first[7]} << 24;
        return static_cast<uint64_t>(size) >= said + 8;
    }
    if (type != FileType::png && type != FileType::jpeg) return false;
    char tail[kTail] = {};
    in.seekg(std::max<std::streamoff>(size - kTail, 0));
    in.read(tail, kTail);
    const std::string_view end(tail, static_cast<size_t>(in.gcount()));
    return end.find(type == FileType::png ? std::string_view{"IEND"} : std::string_view{"\xff\xd9", 2}) !=
           std::string_view::npos;
}

}  // namespace

std::vector<BrokenPicture> find_broken(const FolderDataSet& set, bool quick) {
    std::vector<BrokenPicture> broken;
    std::mutex mutex;
    parallel_ranges(set.size(), 16, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            if (quick && looks_whole(set.file(i))) continue;
            try {
                (void)set.sample(i);
            } catch (const Error& error) {
                const std::lock_guard lock(mutex);
                broken.push_back({i, error.what()});
            }
        }
    });
    std::sort(broken.begin(), broken.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
    return broken;
}

}  // namespace demi::data
