#include "examples/data/folder.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
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

std::string ending_of(const fs::path& path) {
    std::string ending = path.extension().string();
    for (char& c : ending) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return ending.empty() ? ending : ending.substr(1);
}

bool among(const std::string& ending, std::initializer_list<const char*> list) {
    return std::find(list.begin(), list.end(), ending) != list.end();
}

enum class Kind { other, picture, unreadable };

Kind kind_of(const fs::path& path, const std::string& ending) {
    if (const FileType type = type_of_ending(ending); type != FileType::unknown)
        return readable(type) ? Kind::picture : Kind::unreadable;
    if (among(ending, {"heic", "heif", "hif", "avif", "jxl", "jp2", "j2k", "svg", "ico", "tga",
                       "psd",  "ppm",  "pgm", "pbm",  "pnm", "exr", "hdr", "cr2", "cr3", "nef",
                       "arw",  "dng",  "raf", "orf",  "rw2", "pcx", "eps", "jxr"}))
        return Kind::unreadable;
    if (among(ending, {"txt",  "json", "jsonl",       "csv", "tsv", "xml", "md",  "yaml", "yml",
                       "html", "db",   "ini",         "py",  "zip", "tar", "gz",  "npy",  "npz",
                       "pt",   "pth",  "safetensors", "mp4", "mov", "tmp", "part"}))
        return Kind::other;
    std::ifstream in(path, std::ios::binary);  // "IMG_0001.jpg_large", or a name without any ending
    uint8_t first[32] = {};
    in.read(reinterpret_cast<char*>(first), sizeof first);
    const FileType type = file_type({first, static_cast<size_t>(in.gcount())});
    if (type == FileType::unknown || type == FileType::tiff)
        return Kind::other;  // raw pictures call themselves TIFF
    return readable(type) ? Kind::picture : Kind::unreadable;
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

struct Found {
    std::vector<fs::path> pictures;
    std::map<std::string, int64_t> unread;  // by ending
};

void sort_in(const fs::path& file, const fs::file_status& status, Found& found) {
    const std::string ending = ending_of(file);
    const bool plain = fs::is_regular_file(status);
    if (!plain && type_of_ending(ending) == FileType::unknown) return;
    check(plain, "data", file.string(), ": not a readable file (broken link?)");
    const Kind kind = kind_of(file, ending);
    if (kind == Kind::picture) found.pictures.push_back(file);
    if (kind == Kind::unreadable) ++found.unread[ending];
}

// What lies below the folder at any depth; with `first` only until a picture is found. `seen` holds the real
// paths on the way, so that links cannot go in circles.
void collect(const fs::path& folder, std::set<fs::path>& seen, int depth, bool first, Found& out) {
    std::error_code error;
    const fs::path real = fs::canonical(folder, error);
    if (error || depth > kMaxDepth || !seen.insert(real).second) return;
    for (const fs::path& entry : sorted_entries(folder)) {
        const fs::file_status status = fs::status(entry, error);  // a link that points to itself: no status
        if (fs::is_directory(status))
            collect(entry, seen, depth + 1, first, out);
        else
            sort_in(entry, status, out);
        if (first && !out.pictures.empty()) return;
    }
}

}  // namespace

std::vector<fs::path> subfolders(const fs::path& folder) {
    std::vector<fs::path> all = sorted_entries(folder);
    std::error_code error;
    std::erase_if(all, [&](const fs::path& entry) { return !fs::is_directory(entry, error); });
    return all;
}

bool holds_pictures(const fs::path& folder) {
    std::set<fs::path> seen;
    Found found;
    collect(folder, seen, 0, true, found);
    return !found.pictures.empty();
}

bool holds_pictures_itself(const fs::path& folder) {
    Found found;
    std::error_code error;
    for (const fs::path& entry : sorted_entries(folder)) {
        const fs::file_status status = fs::status(entry, error);
        if (!fs::is_directory(status)) sort_in(entry, status, found);
        if (!found.pictures.empty()) return true;
    }
    return false;
}

FolderListing list_folder(const fs::path& folder, bool labels) {
    FolderListing listing;
    Found flat;
    for (const fs::path& entry : sorted_entries(folder)) {
        std::error_code error;
        const fs::file_status status = fs::status(entry, error);
        if (!fs::is_directory(status)) {
            sort_in(entry, status, flat);
            continue;
        }
        std::set<fs::path> seen;
        seen.insert(fs::canonical(folder, error));
        Found found;
        collect(entry, seen, 0, false, found);
        const std::string name = entry.filename().string();
        for (const auto& [ending, count] : found.unread) listing.unread[ending][name] += count;
        if (found.pictures.empty()) {
            listing.skipped.push_back(name);
            continue;
        }
        for (fs::path& picture : found.pictures)
            listing.files.push_back({std::move(picture), std::ssize(listing.classes)});
        listing.classes.push_back(name);
    }
    for (const auto& [ending, count] : flat.unread) listing.unread[ending][""] += count;
    check(flat.pictures.empty() || listing.files.empty() || !labels, "data", folder.string(),
          ": pictures lie both in the folder itself (",
          flat.pictures.empty() ? "" : flat.pictures.front().filename().string(), ") and in class folders (",
          listing.classes.empty() ? "" : listing.classes.front(), "); one or the other is needed");
    if (flat.pictures.empty()) return listing;
    for (FolderFile& file : listing.files) file.label = 0;
    for (fs::path& picture : flat.pictures) listing.files.push_back({std::move(picture), 0});
    listing.classes = {"all"};
    listing.flat = true;
    return listing;
}

std::string unread_line(const FolderListing& listing) {
    std::string text;
    for (const auto& [ending, classes] : listing.unread) {
        int64_t all = 0, shown = 0;
        std::string where;
        for (const auto& [name, count] : classes) {
            all += count;
            if (name.empty() || ++shown > 5) continue;
            where += (where.empty() ? "" : ", ") + name + " " + std::to_string(count);
        }
        if (shown > 5) where += ", and " + std::to_string(shown - 5) + " more classes";
        text += (text.empty() ? "not read: " : ", ") + std::to_string(all) + " ." + ending +
                (all == 1 ? " file" : " files") + (where.empty() ? "" : " (" + where + ")");
    }
    return text;
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

FolderDataSet::FolderDataSet(FolderListing listing, int64_t image_size, int64_t channels, bool upright,
                             bool skip_broken)
    : listing_(std::move(listing)), image_size_(image_size), channels_(channels), upright_(upright),
      skip_broken_(skip_broken) {
    check(image_size >= 1 && image_size <= 4096, "data", "image size must be from 1 to 4096, got ",
          image_size);
    check(channels == 1 || channels == 3, "data", "images have 1 or 3 channels, asked for ", channels);
    check(!listing_.files.empty(), "data", "a folder without pictures");
}

const fs::path& FolderDataSet::file(int64_t index) const {
    check(index >= 0 && index < size(), "data", "sample ", index, " is out of range [0, ", size(), ")");
    return listing_.files[static_cast<size_t>(index)].path;
}

int64_t FolderDataSet::label(int64_t index) const {
    check(index >= 0 && index < size(), "data", "sample ", index, " is out of range [0, ", size(), ")");
    return listing_.files[static_cast<size_t>(index)].label;
}

Image FolderDataSet::read(int64_t index) const {
    const std::vector<uint8_t> bytes = read_file(file(index), kMaxImageFile);
    Image image = decode_image(bytes, file(index).string(), image_size_, upright_);
    // The longer side is cropped to a centred square first, so that nothing is squeezed.
    const int64_t side = std::min(image.height, image.width);
    const Box box{(image.height - side) / 2, (image.width - side) / 2, side, side};
    const bool fits = image.height == image_size_ && image.width == image_size_;
    if (!fits) image = to_image(resample(image, box, image_size_, image_size_, Filter::bicubic));
    return with_channels(image, channels_);
}

Sample FolderDataSet::sample(int64_t index) const {
    if (!skip_broken_) return {read(index), label(index)};
    for (int64_t step = 0;; ++step) {
        const int64_t other = (index + step) % size();
        if (label(other) != label(index)) continue;
        try {
            return {read(other), label(index)};
        } catch (const Error& error) {
            std::fprintf(stderr, "skipped: %s\n", error.what());
            if (step + 1 >= size()) throw;
        }
    }
}

uint64_t FolderDataSet::fingerprint() const {
    Hash hash;
    hash.add(image_size_).add(channels_);
    if (!upright_) hash.add(int64_t{1});
    for (const std::string& name : listing_.classes) hash.add(name);
    for (const FolderFile& f : listing_.files) {
        std::error_code error;
        hash.add(f.path.filename().string()).add(f.label);
        hash.add(static_cast<int64_t>(fs::file_size(f.path, error)));
    }
    return hash.value();
}

}  // namespace demi::data
