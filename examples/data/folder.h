#pragma once
// Folders of PNG and JPEG files: one subfolder per class, or a flat folder as one class (for training
// without labels). Every picture is resized to one square size. Links to folders are followed once; a
// loop of links ends quietly.
#include <filesystem>
#include <string>
#include <vector>

#include "examples/data/dataset.h"

namespace demi::data {

struct FolderFile {
    std::filesystem::path path;
    int64_t label = 0;
};

struct FolderListing {
    std::vector<std::string>
        classes;                    // sorted subfolder names that hold pictures; one name for a flat folder
    std::vector<FolderFile> files;  // sorted by class and path
    bool flat = false;              // pictures in the folder itself, without classes
    std::vector<std::string> skipped = {};  // subfolders without any
};

// Looks for .png, .jpg and .jpeg files (any case) below the folder. Finding none is not an error here.
FolderListing list_folder(const std::filesystem::path& folder);

class FolderDataSet final : public DataSet {
  public:
    FolderDataSet(FolderListing listing, int64_t image_size, int64_t channels);

    int64_t size() const override { return static_cast<int64_t>(listing_.files.size()); }
    const std::vector<std::string>& classes() const override { return listing_.classes; }
    Sample sample(int64_t index) const override;  // reads the file
    int64_t label(int64_t index) const override;
    int64_t height() const override { return image_size_; }
    int64_t width() const override { return image_size_; }
    int64_t channels() const override { return channels_; }
    uint64_t fingerprint() const override;

    const std::filesystem::path& file(int64_t index) const;

  private:
    FolderListing listing_;
    int64_t image_size_;
    int64_t channels_;
};

// Renumbers the labels of `listing` by the names in `classes`; a class that is not there is an error.
FolderListing with_classes(FolderListing listing, const std::vector<std::string>& classes);

}  // namespace demi::data
