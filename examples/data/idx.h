#pragma once
// MNIST's IDX form, plain or gzipped: images [n, rows, columns] or [n, rows, columns, 3] of bytes (or of
// floats in [0, 1], which must be finite), labels [n] of whole numbers.
#include <filesystem>
#include <vector>

#include "examples/data/dataset.h"

namespace demi::data {

struct IdxArray {
    std::vector<int64_t> shape;
    std::vector<uint8_t> bytes;   // type 08
    std::vector<double> numbers;  // every other type
};
// Throws on a wrong magic number, an unknown type, or a size that does not fit the header.
IdxArray read_idx(const std::filesystem::path& path);

struct IdxFiles {
    std::filesystem::path images, labels;
};
// `classes` = 0: one more than the largest label, which must be plausible for what the file holds.
DataSetPtr read_idx_dataset(const IdxFiles& files, int64_t classes = 0);

}  // namespace demi::data
