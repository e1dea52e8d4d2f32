#pragma once
// From what a user names to data sets: open_dataset finds out which kind a file or folder is.
#include <cstdint>
#include <string>
#include <vector>

#include "examples/data/dataset.h"

namespace demi::data {

struct OpenOptions {
    int64_t image_size = 0;      // 0: as stored; folders of pictures: 64
    int64_t channels = 0;        // 0: as stored; folders of pictures: 3
    double test_fraction = 0.1;  // of each class, where the data names no test part
    std::string val;             // a folder (or file) of held-out pictures; then no part is set apart
    bool upright = true;         // pictures turned as EXIF says
    bool skip_broken = false;    // pictures that cannot be decoded are left out, and named in `notes`
    // Without: pictures of folders are decoded when asked for, and only looked at before.
    bool decode_ahead = true;
    bool need_labels = true;  // without: nothing is set apart for a test where labels say nothing
    uint64_t seed = 0;        // of that split, and of the drawn pictures
    int64_t drawn_train = 20000;
    int64_t drawn_test = 2000;
};

struct OpenedData {
    std::string kind;  // "drawn", "CIFAR-10", "IDX", "images"
    DataSetPtr train;
    DataSetPtr test;       // null where nothing could be set apart (one flat folder of one picture)
    bool flip = true;      // whether a mirrored picture keeps its class (not so for digits)
    bool labelled = true;  // false for a flat folder of pictures
    bool turn = false;     // whether a picture turned by 90 degrees keeps its class
    std::vector<std::string> skipped = {};  // subfolders that hold no picture of a known kind
    std::string layout = {};                // of folders: which part is used for what
    std::vector<std::string> notes = {};    // lines for the user: what was left out, and why
    // Of pictures: the files of `train` before a part was set apart; names may be no UTF-8.
    std::vector<std::string> files = {};
    // Where the data has a validation part (which is `test`) and a test part.
    DataSetPtr final_test = nullptr;
};

// "" or "drawn": the drawn data set. Otherwise a folder with CIFAR-10 .bin files, with IDX files (plain or
// .gz), with folders of classes for training, validation and test (layout.h), with class folders, or with
// pictures; or one .bin or IDX images file. Of folders that hold both, the validation part is `test` and the
// test part `final_test`. Throws one clear Error that says what was looked for and found.
OpenedData open_dataset(const std::string& path, const OpenOptions& options = {});

}  // namespace demi::data
