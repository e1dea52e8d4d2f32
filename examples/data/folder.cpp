#include "examples/data/folder.h"

#include <algorithm>
#include <set>
#include <system_error>

#include "examples/data/decode.h"
#include "examples/data/hash.h"
#include "examples/data/read_file.h"
#include "examples/data/resample.h"
#include "runtime/check.h"

namespace demi::data {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kMaxImageFile = int64_t{1} << 28;
constexpr int kMaxDepth = 32;

bool is_picture(const fs::path& path) {
    std::string extension = path.extension().string();
    for (char& c : extension) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with("."); }

std::vector<fs::path> sorted_entries(const fs::path& folder) {
    std::error_code error;
    std::vector<fs::path> entries;
    fs::directory_iterator it(folder, error);
    check(!error, "data", folder.string(), ": cannot list: ", error.message());
    for (; it != fs::directory_iterator(); it.increment(error)) {
        if (!is_hidden(it->path())) entries.push_back(it->path());
        if (error) break;
    }
    check(!error, "data", folder.string(), ": cannot list: ", error.message());
    std::sort(entries.begin(), entries.end());
    return entries;
}

// Pictures below the folder at any depth. `seen` holds the real paths on the way, so that
// links cannot go in circles.
void collect(const fs::path& folder, std::set<fs::path>& seen, int depth, std::vector<fs::path>& out) {
    std::error_code error;
    const fs::path real = fs::canonical(folder, error);
    if (error || depth > kMaxDepth || !seen.insert(real).second) return;
    for (const fs::path& entry : sorted_entries(folder)) {
        const fs::file_status status = fs::status(entry, error);  // a link that points to itself: no status
        if (fs::is_directory(status)) {
            collect(entry, seen, depth + 1, out);
        } else if (is_picture(entry)) {
            check(fs::is_regular_file(status), "data", entry.string(),
                  ": not a readable file (broken link?)");
            out.push_back(entry);
        }
    }
}

}  // namespace

FolderListing list_folder(const fs::path& folder) {
    FolderListing listing;
    std::vector<FolderFile> flat;
    for (const fs::path& entry : sorted_entries(folder)) {
        std::error_code error;
        const fs::file_status status = fs::status(entry, error);
        if (fs::is_directory(status)) {
            std::set<fs::path> seen;
            seen.insert(fs::canonical(folder, error));
            std::vector<fs::path> pictures;
            collect(entry, seen, 0, pictures);
            if (pictures.empty()) {
                listing.skipped.push_back(entry.filename().string());
                continue;
            }
            for (fs::path& picture : pictures)
                listing.files.push_back({std::move(picture), static_cast<int64_t>(listing.classes.size())});
            listing.classes.push_back(entry.filename().string());
        } else if (is_picture(entry)) {
            check(fs::is_regular_file(status), "data", entry.string(),
                  ": not a readable file (broken link?)");
            flat.push_back({entry, 0});
        }
    }
    check(flat.empty() || listing.files.empty(), "data", folder.string(),
          ": pictures lie both in the folder itself (",
          flat.empty() ? "" : flat.front().path.filename().string(), ") and in class folders (",
          listing.classes.empty() ? "" : listing.classes.front(), "); one or the other is needed");
    if (!flat.empty()) {
        listing.files = std::move(flat);
        listing.classes = {"all"};
        listing.flat = true;
    }
    return listing;
}

FolderListing with_classes(FolderListing listing, const std::vector<std::string>& classes) {
    for (FolderFile& file : listing.files) {
        const std::string& name = listing.classes[static_cast<size_t>(file.label)];
        const auto found = std::find(classes.begin(), classes.end(), name);
        check(found != classes.end(), "data", file.path.string(), ": class '", name,
              "' is not among the training classes");
        file.label = found - classes.begin();
    }
    listing.classes = classes;
    return listing;
}

FolderDataSet::FolderDataSet(FolderListing listing, int64_t image_size, int64_t channels)
    : listing_(std::move(listing)), image_size_(image_size), channels_(channels) {
    check(image_size >= 1 && image_size <= 4096, "data", "image size must be from 1 to 4096, got ",
          image_size);
    check(channels == 1 || channels == 3, "data", "images have 1 or 3 channels, asked for ", channels);
    check(!listing_.files.empty(), "data", "a folder without PNG or JPEG files");
}

const fs::path& FolderDataSet::file(int64_t index) const {
    check(index >= 0 && index < size(), "data", "sample ", index, " is out of range [0, ", size(), ")");
    return listing_.files[static_cast<size_t>(index)].path;
}

int64_t FolderDataSet::label(int64_t index) const {
    check(index >= 0 && index < size(), "data", "sample ", index, " is out of range [0, ", size(), ")");
    return listing_.files[static_cast<size_t>(index)].label;
}

Sample FolderDataSet::sample(int64_t index) const {
    const std::vector<uint8_t> bytes = read_file(file(index), kMaxImageFile);
    Image image = decode_image(bytes, file(index).string(), image_size_);
    // The longer side is cropped to a centred square first, so that nothing is squeezed.
    const int64_t side = std::min(image.height, image.width);
    const Box box{(image.height - side) / 2, (image.width - side) / 2, side, side};
    const bool fits = image.height == image_size_ && image.width == image_size_;
    if (!fits) image = to_image(resample(image, box, image_size_, image_size_, Filter::bicubic));
    return {with_channels(image, channels_), label(index)};
}

uint64_t FolderDataSet::fingerprint() const {
    Hash hash;
    hash.add(image_size_).add(channels_);
    for (const std::string& name : listing_.classes) hash.add(name);
    for (const FolderFile& f : listing_.files) {
        std::error_code error;
        hash.add(f.path.filename().string()).add(f.label);
        hash.add(static_cast<int64_t>(fs::file_size(f.path, error)));
    }
    return hash.value();
}

}  // namespace demi::data
