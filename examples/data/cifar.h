#pragma once
// CIFAR-10's binary form: records of one label byte and three 32x32 planes (red, green, blue).
#include <filesystem>
#include <string>
#include <vector>

#include "examples/data/dataset.h"

namespace demi::data {

// The files' records in the given order. Throws on a size that is no multiple of a
// record, or a label out of range.
DataSetPtr read_cifar(const std::vector<std::filesystem::path>& files, std::vector<std::string> classes);

// Class names, one per line; "class 0" ... "class 9" where the file is missing.
std::vector<std::string> read_cifar_classes(const std::filesystem::path& meta);

}  // namespace demi::data
