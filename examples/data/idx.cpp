#include "examples/data/idx.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>

#include "examples/data/read_file.h"
#include "examples/data/stored.h"
#include "runtime/check.h"

namespace demi::data {
namespace {

constexpr int64_t kMaxHeader = 4 + 4 * 4;

uint64_t big_endian(const uint8_t* p, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; ++i) value = value << 8 | p[i];
    return value;
}

size_t element_bytes(uint8_t type) {
    switch (type) {
    case 0x08:
    case 0x09: return 1;
    case 0x0b: return 2;
    case 0x0c:
    case 0x0d: return 4;
    case 0x0e: return 8;
    default: return 0;
    }
}

double to_number(const uint8_t* p, uint8_t type) {
    const uint64_t bits = big_endian(p, element_bytes(type));
    switch (type) {
    case 0x09: return static_cast<int8_t>(bits);
    case 0x0b: return static_cast<int16_t>(bits);
    case 0x0c: return static_cast<int32_t>(bits);
    case 0x0d: return static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits)));
    default: return std::bit_cast<double>(bits);
    }
}

std::string join(const std::vector<int64_t>& shape) {
    std::string text;
    for (const int64_t s : shape) text += (text.empty() ? "" : "x") + std::to_string(s);
    return text;
}

std::vector<int64_t> to_labels(const IdxArray& array, const std::string& name) {
    check(array.shape.size() == 1, "data", name, ": labels must have one dimension, got ", join(array.shape));
    std::vector<int64_t> labels(array.bytes.begin(), array.bytes.end());
    for (size_t i = 0; i < array.numbers.size(); ++i) {
        const double value = array.numbers[i];
        check(value >= 0 && value < 65536 && value == std::floor(value), "data", name, ": label ", value,
              " of image ", i, " is out of range: whole numbers from 0 are needed");
        labels.push_back(static_cast<int64_t>(value));
    }
    return labels;
}

std::vector<uint8_t> to_pixels(IdxArray& array, const std::string& name) {
    if (array.numbers.empty()) return std::move(array.bytes);
    std::vector<uint8_t> pixels(array.numbers.size());
    for (size_t i = 0; i < pixels.size(); ++i) {
        const double value = array.numbers[i];
        check(value >= 0 && value <= 1, "data", name, ": image values must lie in [0, 1], element ", i,
              " is ", value);
        pixels[i] = static_cast<uint8_t>(value * 255 + 0.5);
    }
    return pixels;
}

// IDX does not say how many classes there are: a stray label would silently add hundreds of them.
int64_t count_classes(const std::vector<int64_t>& labels, const std::string& name) {
    const std::set<int64_t> distinct(labels.begin(), labels.end());
    const int64_t largest = *distinct.rbegin();
    if (largest < 10) return 10;
    const auto used = static_cast<int64_t>(distinct.size());
    const auto first = std::find(labels.begin(), labels.end(), largest) - labels.begin();
    check(*distinct.begin() <= 1 && used == largest - *distinct.begin() + 1, "data", name, ": label ",
          largest, " of image ", first, " is out of range: the file has only ", used, " different labels");
    return largest + 1;
}

}  // namespace

IdxArray read_idx(const std::filesystem::path& path) {
    const std::string name = path.string();
    std::vector<uint8_t> file = read_file_or_gz(path, kMaxHeader);
    check(file.size() >= 4, "data", name, ": an IDX file has at least 4 bytes, got ", file.size());
    check(file[0] == 0 && file[1] == 0 && element_bytes(file[2]) > 0 && file[3] >= 1 && file[3] <= 4, "data",
          name, ": not an IDX file: magic number ", big_endian(file.data(), 4),
          ", needed 2049 for labels or 2051 for images");
    const uint8_t type = file[2];
    const size_t header = 4 + 4 * size_t{file[3]};
    check(file.size() >= header, "data", name, ": truncated: the header needs ", header,
          " bytes, the file has ", file.size());
    IdxArray array;
    int64_t count = 1;
    for (size_t i = 4; i < header; i += 4) {
        array.shape.push_back(static_cast<int64_t>(big_endian(file.data() + i, 4)));
        count = checked_mul(count, array.shape.back(), name);
    }
    const int64_t width = static_cast<int64_t>(element_bytes(type));
    const int64_t needed = checked_add(checked_mul(count, width, name), static_cast<int64_t>(header), name);
    check(needed <= kMaxFileBytes, "data", name, ": ", join(array.shape), " needs ", needed,
          " bytes, at most ", kMaxFileBytes, " are read");
    file = read_file_or_gz(path, needed + 1);
    const auto size = static_cast<int64_t>(file.size());
    check(size >= needed, "data", name, ": ", join(array.shape), " needs ", needed, " bytes, the file has ",
          size, ": truncated");
    check(size == needed, "data", name, ": ", join(array.shape), " needs ", needed,
          " bytes, the file is longer");
    const uint8_t* data = file.data() + header;
    if (type == 0x08) {
        array.bytes.assign(data, data + count);
    } else {
        for (int64_t i = 0; i < count; ++i) array.numbers.push_back(to_number(data + i * width, type));
    }
    return array;
}

DataSetPtr read_idx_dataset(const IdxFiles& files, int64_t classes) {
    IdxArray images = read_idx(files.images);
    const std::string images_name = files.images.string();
    const std::string labels_name = files.labels.string();
    check(images.shape.size() == 3 ||
              (images.shape.size() == 4 && (images.shape[3] == 1 || images.shape[3] == 3)),
          "data", images_name, ": images must be [n, rows, columns] or [n, rows, columns, 3], got ",
          join(images.shape));
    const std::vector<int64_t> shape = images.shape;
    check(shape[0] > 0, "data", images_name, ": no images");
    check(shape[1] <= 4096 && shape[2] <= 4096, "data", images_name, ": images of at most 4096x4096, got ",
          join(shape));
    Stored content{shape[1],
                   shape[2],
                   shape.size() == 4 ? shape[3] : 1,
                   to_pixels(images, images_name),
                   to_labels(read_idx(files.labels), labels_name),
                   {}};
    check(static_cast<int64_t>(content.labels.size()) == shape[0], "data", labels_name, " has ",
          content.labels.size(), " labels, but ", images_name, " has ", shape[0], " images");
    if (classes == 0) classes = count_classes(content.labels, labels_name);
    for (int64_t i = 0; i < classes; ++i) content.classes.push_back(std::to_string(i));
    return std::make_shared<StoredDataSet>(std::move(content), labels_name);
}

}  // namespace demi::data
