#pragma once
// Folders of pictures (decode.h): one subfolder per class, or a flat folder as one class (for training
// without labels). Every picture is resized to one square size. Links to folders are followed once; a
// loop of links ends quietly.
#include <filesystem>
#include <map>
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
    // Pictures that this build cannot read: ending, class, number of files.
    std::map<std::string, std::map<std::string, int64_t>> unread = {};
};

// Looks for pictures below the folder: by their endings (any case), and where an ending is none of a picture
// by the first bytes. Finding none is not an error here. Pictures in the folder itself beside class folders
// are one, unless `labels` do not matter: then all are taken as one class.
FolderListing list_folder(const std::filesystem::path& folder, bool labels = true);

// "not read: 40 .webp files (cat 20, dog 20), ...", or "" for none.
std::string unread_line(const FolderListing& listing);

// Whether a picture lies below the folder; the names of its visible subfolders, sorted.
bool holds_pictures(const std::filesystem::path& folder);
bool holds_pictures_itself(const std::filesystem::path& folder);
std::vector<std::filesystem::path> subfolders(const std::filesystem::path& folder);

class FolderDataSet final : public DataSet {
  public:
    // Read a file: where `skip_broken` and it cannot be decoded, the next of its class is taken instead, and
    // a line on stderr says so.
    FolderDataSet(FolderListing listing, int64_t image_size, int64_t channels, bool upright = true,
                  bool skip_broken = false);

    int64_t size() const override { return static_cast<int64_t>(listing_.files.size()); }
    const std::vector<std::string>& classes() const override { return listing_.classes; }
    Sample sample(int64_t index) const override;  // reads the file
    int64_t label(int64_t index) const override;
    std::string source(int64_t index) const override { return file(index).string(); }
    int64_t height() const override { return image_size_; }
    int64_t width() const override { return image_size_; }
    int64_t channels() const override { return channels_; }
    uint64_t fingerprint() const override;

    const std::filesystem::path& file(int64_t index) const;
    const FolderListing& listing() const { return listing_; }

  private:
    Image read(int64_t index) const;

    FolderListing listing_;
    int64_t image_size_;
    int64_t channels_;
    bool upright_, skip_broken_;
};

// What is wrong with the pictures, by their number: all decoded, or `quick`, only those whose first and last
// bytes are not as they should be.
struct BrokenPicture {
    int64_t index = 0;
    std::string why;
};
std::vector<BrokenPicture> find_broken(const FolderDataSet& set, bool quick);

// Renumbers the labels of `listing` by the names in `classes`; a class that is not there is an error.
FolderListing with_classes(FolderListing listing, const std::vector<std::string>& classes);

}  // namespace demi::data
