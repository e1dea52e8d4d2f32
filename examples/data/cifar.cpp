#include "examples/data/cifar.h"

#include <algorithm>

#include "examples/data/read_file.h"
#include "examples/data/stored.h"
#include "runtime/check.h"

namespace demi::data {
namespace {

constexpr int64_t kSide = 32;
constexpr int64_t kPlane = kSide * kSide;
constexpr int64_t kRecord = 1 + 3 * kPlane;

}  // namespace

DataSetPtr read_cifar(const std::vector<std::filesystem::path>& files, std::vector<std::string> classes) {
    check(!files.empty(), "data", "CIFAR-10 needs at least one .bin file");
    Stored content{kSide, kSide, 3, {}, {}, std::move(classes)};
    for (const auto& file : files) {
        const std::vector<uint8_t> bytes = read_file(file);
        const auto size = static_cast<int64_t>(bytes.size());
        check(size > 0, "data", file.string(), ": the file is empty");
        check(size % kRecord == 0, "data", file.string(), ": CIFAR-10 needs records of ", kRecord,
              " bytes, the file has ", size, " bytes (", size % kRecord, " too many): truncated?");
        const size_t first = content.labels.size();
        const auto count = static_cast<size_t>(size / kRecord);
        content.labels.resize(first + count);
        content.pixels.resize((first + count) * 3 * kPlane);
        for (size_t i = 0; i < count; ++i) {
            const uint8_t* record = bytes.data() + i * kRecord;
            check(record[0] < content.classes.size(), "data", file.string(), ": label ", int{record[0]},
                  " of record ", i, " is out of range [0, ", content.classes.size(), ")");
            content.labels[first + i] = record[0];
            uint8_t* out = content.pixels.data() + (first + i) * 3 * kPlane;
            for (size_t p = 0; p < kPlane; ++p)
                for (size_t c = 0; c < 3; ++c) out[p * 3 + c] = record[1 + c * kPlane + p];
        }
    }
    return std::make_shared<StoredDataSet>(std::move(content), files.front().parent_path().string());
}

std::vector<std::string> read_cifar_classes(const std::filesystem::path& meta) {
    std::vector<std::string> classes;
    if (std::filesystem::exists(meta)) {
        std::string name;
        for (const uint8_t byte : read_file(meta, 1 << 16)) {
            if (byte == '\n') {
                if (!name.empty()) classes.push_back(name);
                name.clear();
            } else if (byte >= ' ') {
                name += static_cast<char>(byte);
            }
        }
        if (!name.empty()) classes.push_back(name);
        check(classes.size() <= 256, "data", meta.string(), ": at most 256 class names, got ",
              classes.size());
        if (!classes.empty()) return classes;
    }
    for (int i = 0; i < 10; ++i) classes.push_back("class " + std::to_string(i));
    return classes;
}

}  // namespace demi::data
