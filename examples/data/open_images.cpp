#include "examples/data/open_images.h"

#include <algorithm>

#include "examples/data/folder.h"
#include "examples/data/layout.h"
#include "examples/data/part.h"
#include "examples/data/stored.h"
#include "runtime/check.h"

namespace demi::data {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kPreloadBytes = int64_t{1} << 30;  // folders up to this size are decoded once, ahead

std::string listed(const std::vector<BrokenPicture>& broken) {
    constexpr size_t kShown = 10;
    std::string text;
    for (size_t i = 0; i < std::min(broken.size(), kShown); ++i) {
        const std::string& why = broken[i].why;
        text += (i == 0 ? "" : "\n  ") + (why.starts_with("[data] ") ? why.substr(7) : why);
    }
    return broken.size() > kShown ? text + "\n  and " + std::to_string(broken.size() - kShown) + " more"
                                  : text;
}

// What the message of a folder without pictures lists.
std::string contents(const fs::path& folder) {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error))
        names.push_back(entry.path().filename().string());
    if (names.empty()) return "the folder is empty";
    std::sort(names.begin(), names.end());
    std::string text = std::to_string(names.size()) + (names.size() == 1 ? " entry:" : " entries:");
    for (size_t i = 0; i < std::min<size_t>(names.size(), 5); ++i) text += (i == 0 ? " " : ", ") + names[i];
    return names.size() > 5 ? text + ", ..." : text;
}

class Opener {
  public:
    explicit Opener(const OpenOptions& options) : options_(options) {}

    FolderListing list(const fs::path& folder) {
        FolderListing listing = list_folder(folder, options_.need_labels);
        for (const std::string& name : listing.skipped)
            notes.push_back("skipped: no picture that is read in folder '" + name + "'");
        if (const std::string line = unread_line(listing); !line.empty()) notes.push_back(line);
        return listing;
    }

    // Decoded ahead where that is not too much, and broken pictures found either way: they leave the listing.
    DataSetPtr pictures(FolderListing& listing, const fs::path& folder) {
        const int64_t size = options_.image_size > 0 ? options_.image_size : 64;
        const int64_t channels = options_.channels > 0 ? options_.channels : 3;
        const int64_t bytes = std::ssize(listing.files) * size * size * channels;
        const auto open = [&](bool skip) {
            return std::make_shared<FolderDataSet>(listing, size, channels, options_.upright, skip);
        };
        const auto set = open(false);
        const bool lazy = bytes > kPreloadBytes || !options_.decode_ahead;
        std::vector<BrokenPicture> broken;
        if (!lazy) {
            try {
                return preload(*set, folder.string());
            } catch (const Error&) {  // now all that is wrong
            }
        }
        broken = find_broken(*set, lazy);
        if (broken.empty()) return lazy ? open(options_.skip_broken) : preload(*set, folder.string());
        check(options_.skip_broken, "data",
              broken.size() == 1 ? "" : std::to_string(broken.size()) + " broken pictures:\n  ",
              listed(broken), broken.size() == 1 ? "" : "\n", " (--skip-broken leaves them out)");
        check(broken.size() < listing.files.size(), "data", folder.string(), ": all ", broken.size(),
              " pictures are broken:\n  ", listed(broken));
        notes.push_back("skipped " + std::to_string(broken.size()) + " broken picture" +
                        (broken.size() == 1 ? "" : "s") + ": " + listed(broken));
        for (auto it = broken.rbegin(); it != broken.rend(); ++it)
            listing.files.erase(listing.files.begin() + it->index);
        return lazy ? open(true) : preload(*open(false), folder.string());
    }

    // A part to test with, whose classes are those of training; null where it has no
    // labels and none are needed.
    DataSetPtr held_out(const fs::path& folder, const FolderListing& train) {
        FolderListing held = list(folder);
        check(!held.files.empty(), "data", folder.string(), ": no pictures below it");
        const auto known = [&](const std::string& name) {
            return std::find(train.classes.begin(), train.classes.end(), name) != train.classes.end();
        };
        const bool fits = std::all_of(held.classes.begin(), held.classes.end(), known);
        if (!options_.need_labels && (train.flat || held.flat || !fits)) {
            notes.push_back(folder.string() + ": not used, its classes are not those of training");
            return nullptr;
        }
        held = with_classes(std::move(held), train.classes);
        return pictures(held, folder);
    }

    std::vector<std::string> notes;

  private:
    const OpenOptions& options_;
};

std::string folder_name(const fs::path& folder) { return folder.filename().string() + "/"; }

}  // namespace

OpenedData set_apart(std::string kind, const DataSetPtr& all, const OpenOptions& options, bool flip) {
    const bool possible = all->size() >= 2 && options.test_fraction > 0 && options.val.empty() &&
                          (options.need_labels || classes_present(*all) > 1);
    const Halves halves =
        possible ? split_off(all, options.test_fraction, options.seed) : Halves{all, nullptr};
    return {std::move(kind), halves.train, halves.test, flip, true};
}

OpenedData open_images(const fs::path& folder, const OpenOptions& options) {
    Opener opener(options);
    const Layout layout = find_layout(folder);
    FolderListing listing = opener.list(layout.train);
    if (listing.files.empty()) {
        std::string unread = unread_line(listing);
        if (!unread.empty()) unread = "; " + unread;
        fail("data", layout.train.string(),
             ": no data set found: needed are data_batch_*.bin (CIFAR-10), train-images-idx3-ubyte[.gz] with "
             "its labels "
             "(IDX), or class folders with .png or .jpg files; ",
             contents(layout.train), unread);
    }
    const bool labelled = !listing.flat;
    DataSetPtr val, test;
    std::string parts;
    const auto hold = [&](const fs::path& part, DataSetPtr& place, const char* use) {
        if (part.empty()) return;
        place = opener.held_out(part, listing);
        if (place) parts += ", " + folder_name(part) + use;
    };
    const fs::path named = options.val.empty() ? layout.val : fs::path(options.val);
    hold(named, val, layout.test.empty() ? " for tests" : " after every epoch");
    hold(layout.test, test, val ? " for the end" : " for tests");
    if (!options.val.empty() && !layout.val.empty())
        opener.notes.push_back("left out: " + folder_name(layout.val) + " (--val names another)");
    for (const std::string& what : layout.left_out) opener.notes.push_back("left out: " + what);

    const std::vector<std::string> skipped = listing.skipped;
    OpenedData opened{"images", opener.pictures(listing, layout.train), val ? val : test, true, labelled};
    if (val && test) opened.final_test = test;
    if (!opened.test && named.empty()) {
        OpenedData apart = set_apart("images", opened.train, options, true);
        opened.train = apart.train;
        opened.test = apart.test;
        if (opened.test) parts += ", a part of every class set apart for tests";
    }
    for (const FolderFile& file : listing.files)
        opened.files.push_back(file.path.lexically_relative(folder).string());
    opened.skipped = skipped;
    opened.labelled = labelled;
    opened.layout =
        (layout.train == folder ? std::string(labelled ? "a folder per class" : "pictures without classes")
                                : folder_name(layout.train) + " for training") +
        parts;
    opened.notes = std::move(opener.notes);
    return opened;
}

}  // namespace demi::data
