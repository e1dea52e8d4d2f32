#pragma once
// Features that extract_features wrote, read again.
#include <string>
#include <vector>

#include "examples/train/knn.h"

namespace demi::examples {

struct SavedFeatures {
    std::string path;
    Features features;                 // labels: -1 where there is none
    std::vector<std::string> classes;  // names; may be empty
    std::vector<int64_t> split;        // of each row, of split_names
    std::vector<std::string> split_names, files;
};

// .safetensors, or .npy with its .json (without: numbers only). Throws where the parts do not fit each other.
SavedFeatures read_features(const std::string& path);

// Patch tokens of the first `most` pictures: [pictures, rows, columns, D]. Throws where the file has none.
Tensor read_patches(const std::string& path, int64_t most);

}  // namespace demi::examples
