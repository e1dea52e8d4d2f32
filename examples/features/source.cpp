#include "examples/features/source.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <set>
#include <sstream>

#include "examples/common/files.h"
#include "examples/data/decode.h"
#include "examples/data/folder.h"
#include "examples/data/hash.h"
#include "examples/data/open.h"
#include "examples/data/read_file.h"
#include "runtime/check.h"

namespace demi::examples {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kMaxPicture = int64_t{1} << 30;

enum class Kind { data, picture, list };

// A file by its content: a picture, what open_dataset knows by its name, or a list.
Kind kind_of(const std::string& data) {
    std::error_code error;
    const fs::file_status status = fs::status(data, error);
    if (data.empty() || data == "drawn" || !fs::exists(status) || fs::is_directory(status)) return Kind::data;
    if (!fs::is_regular_file(status)) return Kind::list;  // a pipe of the shell
    const fs::path path(data);
    std::string ending = path.extension().string();
    if (!ending.empty()) ending.erase(0, 1);
    uint8_t first[32] = {};
    std::FILE* file = std::fopen(data.c_str(), "rb");
    const size_t count = file != nullptr ? std::fread(first, 1, sizeof first, file) : 0;
    if (file != nullptr) std::fclose(file);
    if (data::file_type({first, count}) != data::FileType::unknown ||
        data::type_of_ending(ending) != data::FileType::unknown)
        return Kind::picture;
    const std::string name = path.filename().string();
    if (ending == "bin" || name.find("-idx") != std::string::npos) return Kind::data;
    return std::find(first, first + count, uint8_t{0}) == first + count ? Kind::list : Kind::data;
}

}  // namespace

PictureSource::PictureSource(const SourceOptions& options) : options_(options), split_(options.split) {
    const Kind kind = options.data == "-" ? Kind::list : kind_of(options.data);
    if (kind == Kind::data) {
        open_data();
    } else {
        check(split_.empty() || split_ == "all", "extract", "--split ", split_, ": ", options.data,
              " is no data set with parts");
        if (kind == Kind::picture)
            open_list(options.data, "");
        else if (options.data == "-")
            open_list({std::istreambuf_iterator<char>(std::cin), {}}, "");
        else
            open_list(read_text(options.data), fs::path(options.data).parent_path().string());
    }
    if (split_.empty()) split_ = "all";
    check(size() > 0, "extract", options.data, ": no pictures");
}

void PictureSource::add(const std::string& part, const data::DataSetPtr& set) {
    parts_.push_back(part);
    sets_.push_back(set);
    begins_.push_back(begins_.back() + set->size());
}

void PictureSource::open_data() {
    data::OpenOptions open;
    open.channels = options_.channels;
    if (split_.empty() || split_ == "all") open.test_fraction = 0;  // no part is set apart
    open.upright = options_.upright;
    open.skip_broken = options_.skip_broken;
    open.decode_ahead = false;
    const data::OpenedData opened = data::open_dataset(options_.data, open);
    if (!opened.layout.empty()) notes_.push_back("layout: " + opened.layout);
    notes_.insert(notes_.end(), opened.notes.begin(), opened.notes.end());
    labelled_ = opened.labelled;
    relative_ = opened.kind == "images";
    classes_ = opened.train->classes();
    check((split_ != "test" && split_ != "val") || opened.test, "extract", options_.data,
          ": has no part to test with");
    const data::DataSetPtr test = opened.final_test ? opened.final_test : opened.test;
    const bool both = opened.final_test != nullptr;  // a part for validation and one for tests
    if (split_.empty()) split_ = test ? "test" : "all";
    if (split_ == "train" || split_ == "all") add("train", opened.train);
    if (split_ == "val" || (split_ == "all" && both)) add("val", opened.test);
    if (split_ == "test" || (split_ == "all" && test)) add("test", test);
}

void PictureSource::open_list(const std::string& text, const std::string& beside) {
    data::FolderListing listing;
    std::vector<std::pair<std::string, std::string>> lines;  // path, class
    if (kind_of(options_.data) == Kind::picture) {
        lines.emplace_back(text, "");
    } else {
        std::istringstream in(text);
        for (std::string line; std::getline(in, line);) {
            if (lines.empty() && line.starts_with("\xef\xbb\xbf")) line.erase(0, 3);
            while (!line.empty() && line.back() == '\r') line.pop_back();
            const size_t tab = line.find('\t');
            if (!line.empty())
                lines.emplace_back(line.substr(0, tab), tab == line.npos ? "" : line.substr(tab + 1));
        }
    }
    std::set<std::string> names;
    for (const auto& [path, name] : lines)
        if (!name.empty()) names.insert(name);
    listing.classes.assign(names.begin(), names.end());
    for (const auto& [path, name] : lines) {
        const fs::path near = fs::path(beside) / path;
        const fs::path found =
            exists(path) || beside.empty() || !exists(near.string()) ? fs::path(path) : near;
        const auto label = std::find(listing.classes.begin(), listing.classes.end(), name);
        listing.files.push_back(
            {found, label == listing.classes.end() ? -1 : label - listing.classes.begin()});
    }
    check(!listing.files.empty(), "extract", options_.data, ": the list of pictures is empty");
    labelled_ = !listing.classes.empty();
    classes_ = listing.classes;
    const auto set =
        std::make_shared<data::FolderDataSet>(std::move(listing), 64, options_.channels, options_.upright);
    const std::vector<data::BrokenPicture> broken = data::find_broken(*set, true);
    std::string shown;
    for (size_t i = 0; i < std::min<size_t>(broken.size(), 10); ++i) shown += "\n  " + broken[i].why;
    check(broken.empty() || options_.skip_broken, "extract", options_.data, ": ", broken.size(), " of ",
          lines.size(), " pictures cannot be read (--skip-broken leaves them out):", shown);
    add("all", set);
}

int64_t PictureSource::part(int64_t index) const {
    check(index >= 0 && index < size(), "extract", "picture ", index, " is out of range [0, ", size(), ")");
    return std::upper_bound(begins_.begin(), begins_.end(), index) - begins_.begin() - 1;
}

int64_t PictureSource::label(int64_t index) const {
    const auto p = static_cast<size_t>(part(index));
    return labelled_ ? sets_[p]->label(index - begins_[p]) : -1;
}

std::string PictureSource::name(int64_t index) const {
    const auto p = static_cast<size_t>(part(index));
    const std::string path = sets_[p]->source(index - begins_[p]);
    if (path.empty()) return parts_[p] + "/" + std::to_string(index - begins_[p]);
    return relative_ ? fs::path(path).lexically_relative(options_.data).string() : path;
}

data::Image PictureSource::image(int64_t index) const {
    const auto p = static_cast<size_t>(part(index));
    const int64_t at = index - begins_[p];
    const std::string path = sets_[p]->source(at);
    const data::Image image = path.empty()
                                  ? sets_[p]->sample(at).image
                                  : data::decode_image(data::read_file(path, kMaxPicture), path,
                                                       options_.framing.decode_target(), options_.upright);
    return data::with_channels(data::frame(image, options_.framing), options_.channels);
}

uint64_t PictureSource::fingerprint() const {
    data::Hash hash;
    for (size_t p = 0; p < sets_.size(); ++p)
        hash.add(parts_[p]).add(static_cast<int64_t>(sets_[p]->fingerprint()));
    return hash.value();
}

}  // namespace demi::examples
