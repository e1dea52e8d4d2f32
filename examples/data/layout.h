#pragma once
// What the subfolders of a folder of pictures mean: classes, or parts (train, val, test).
#include <filesystem>
#include <string>
#include <vector>

namespace demi::data {

struct Layout {
    std::filesystem::path train;        // the folder itself where there are no parts
    std::filesystem::path val, test;    // empty: none
    std::vector<std::string> left_out;  // what holds pictures and is no part, with its reason
};

// A subfolder called train or training, val, valid, validation or dev, test or testing (in any case) is a
// part only where it has a partner and what they hold agrees: classes of the same name, or nothing else with
// pictures beside them. Otherwise it is a class like the others. A folder without classes is no part to test
// with where the training part has classes. One folder around all of it is looked into.
Layout find_layout(const std::filesystem::path& folder);

}  // namespace demi::data
