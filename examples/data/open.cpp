#include "examples/data/open.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "examples/data/cifar.h"
#include "examples/data/drawn.h"
#include "examples/data/idx.h"
#include "examples/data/open_images.h"
#include "examples/data/resample.h"
#include "examples/data/stored.h"
#include "runtime/check.h"

namespace demi::data {
namespace fs = std::filesystem;
namespace {

// Another size or number of channels than stored.
class Converted final : public DataSet {
  public:
    Converted(DataSetPtr from, int64_t height, int64_t width, int64_t channels)
        : from_(std::move(from)), height_(height), width_(width), channels_(channels) {}

    int64_t size() const override { return from_->size(); }
    const std::vector<std::string>& classes() const override { return from_->classes(); }
    Sample sample(int64_t index) const override {
        Sample s = from_->sample(index);
        return {with_channels(resize(s.image, height_, width_), channels_), s.label};
    }
    int64_t label(int64_t index) const override { return from_->label(index); }
    int64_t height() const override { return height_; }
    int64_t width() const override { return width_; }
    int64_t channels() const override { return channels_; }
    uint64_t fingerprint() const override { return from_->fingerprint(); }

  private:
    DataSetPtr from_;
    int64_t height_, width_, channels_;
};

DataSetPtr convert(DataSetPtr data, const OpenOptions& options, const std::string& source) {
    if (!data) return data;
    const int64_t height = options.image_size > 0 ? options.image_size : data->height();
    const int64_t width = options.image_size > 0 ? options.image_size : data->width();
    const int64_t channels = options.channels > 0 ? options.channels : data->channels();
    if (height == data->height() && width == data->width() && channels == data->channels()) return data;
    return preload(Converted(data, height, width, channels), source);
}

// The file itself or the same name with .gz; an empty path where neither is there.
fs::path find_idx(const fs::path& folder, const std::string& name) {
    for (const std::string& candidate : {name, name + ".gz"})
        if (fs::exists(folder / candidate)) return folder / candidate;
    return {};
}

IdxFiles find_pair(const fs::path& folder, const std::string& prefix) {
    IdxFiles files;
    for (const char* dot : {"-", "."}) {  // some copies are named idx3.ubyte or idx3-ubyte
        const auto pick = [&](const std::string& stem) {
            return find_idx(folder, prefix + stem + dot + "ubyte");
        };
        if (files.images.empty()) files.images = pick("-images-idx3");
        if (files.labels.empty()) files.labels = pick("-labels-idx1");
    }
    check(files.images.empty() || !files.labels.empty(), "data", files.images.string(),
          ": the labels are missing: ", prefix, "-labels-idx1-ubyte or .gz");
    check(files.labels.empty() || !files.images.empty(), "data", files.labels.string(),
          ": the images are missing: ", prefix, "-images-idx3-ubyte or .gz");
    return files;
}

void check_alike(const DataSet& train, const DataSet& test, const std::string& where) {
    check(train.height() == test.height() && train.width() == test.width() &&
              train.channels() == test.channels(),
          "data", where, ": training images are ", train.height(), "x", train.width(), "x", train.channels(),
          ", test images ", test.height(), "x", test.width(), "x", test.channels());
}

OpenedData open_idx(const fs::path& folder, const OpenOptions& options) {
    const IdxFiles train = find_pair(folder, "train");
    const IdxFiles test = find_pair(folder, "t10k");
    if (train.images.empty()) return set_apart("IDX", read_idx_dataset(test), options, false);
    const DataSetPtr learned = read_idx_dataset(train);
    if (test.images.empty()) return set_apart("IDX", learned, options, false);
    const DataSetPtr held = read_idx_dataset(test, static_cast<int64_t>(learned->classes().size()));
    check_alike(*learned, *held, folder.string());
    return {"IDX", learned, held, false, true};
}

OpenedData open_cifar(const fs::path& folder, const std::vector<fs::path>& batches,
                      const OpenOptions& options) {
    const auto classes = read_cifar_classes(folder / "batches.meta.txt");
    const fs::path test = folder / "test_batch.bin";
    if (batches.empty()) return set_apart("CIFAR-10", read_cifar({test}, classes), options, true);
    const DataSetPtr learned = read_cifar(batches, classes);
    if (!fs::exists(test)) return set_apart("CIFAR-10", learned, options, true);
    return {"CIFAR-10", learned, read_cifar({test}, classes), true, true};
}

OpenedData open_file(const fs::path& file, const OpenOptions& options) {
    const std::string name = file.filename().string();
    if (file.extension() == ".bin")
        return set_apart("CIFAR-10",
                         read_cifar({file}, read_cifar_classes(file.parent_path() / "batches.meta.txt")),
                         options, true);
    const size_t images = name.find("images-idx3");
    check(images != std::string::npos, "data", file.string(),
          ": a single file must be a CIFAR-10 .bin or an IDX file named *images-idx3*");
    std::string labels = name;
    labels.replace(images, 11, "labels-idx1");
    check(fs::exists(file.parent_path() / labels), "data", file.string(),
          ": the labels are missing: ", labels);
    return set_apart("IDX", read_idx_dataset({file, file.parent_path() / labels}), options, false);
}

OpenedData open_folder(const fs::path& folder, const OpenOptions& options) {
    std::error_code error;
    std::vector<fs::path> entries, batches;
    for (fs::directory_iterator it(folder, error); !error && it != fs::directory_iterator();
         it.increment(error)) {
        const std::string name = it->path().filename().string();
        entries.push_back(it->path());
        if (name.starts_with("data_batch_") && name.ends_with(".bin")) batches.push_back(it->path());
    }
    check(!error, "data", folder.string(), ": cannot list: ", error.message());
    std::sort(entries.begin(), entries.end());
    std::sort(batches.begin(), batches.end());
    if (!batches.empty() || fs::exists(folder / "test_batch.bin"))
        return open_cifar(folder, batches, options);
    if (fs::exists(folder / "cifar-10-batches-bin"))
        return open_folder(folder / "cifar-10-batches-bin", options);
    const bool idx = std::any_of(entries.begin(), entries.end(), [](const fs::path& entry) {
        const std::string name = entry.filename().string();
        return (name.starts_with("train-") || name.starts_with("t10k-")) &&
               name.find("-idx") != std::string::npos;
    });
    return idx ? open_idx(folder, options) : open_images(folder, options);
}

// --val beside files: the test part of what it names, or all of it.
void hold_out(OpenedData& opened, const OpenOptions& options) {
    OpenOptions whole = options;
    whole.test_fraction = 0;
    whole.val.clear();
    const OpenedData named = open_dataset(options.val, whole);
    if (opened.test) opened.final_test = opened.test;
    opened.test = named.test ? named.test : named.train;
    check_alike(*opened.train, *opened.test, options.val);
    check(opened.test->classes() == opened.train->classes(), "data", options.val,
          ": its classes are not those of training");
}

}  // namespace

OpenedData open_dataset(const std::string& path, const OpenOptions& options) {
    if (path.empty() || path == "drawn") {
        const int64_t size = options.image_size > 0 ? options.image_size : 32;
        const auto draw = [&](int64_t count, Split split) {
            return convert(preload(DrawnDataSet(count, split, options.seed, size), "drawn"), options,
                           "drawn");
        };
        return {"drawn",
                draw(options.drawn_train, Split::train),
                draw(options.drawn_test, Split::test),
                true,
                true,
                true};
    }
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    check(fs::exists(status), "data", path, ": no such file or folder");
    const bool folder = fs::is_directory(status);
    check(folder || fs::is_regular_file(status), "data", path, ": neither a folder nor a file");
    OpenedData opened = folder ? open_folder(path, options) : open_file(path, options);
    if (!options.val.empty() && opened.kind != "images") hold_out(opened, options);
    opened.train = convert(opened.train, options, path);
    opened.test = convert(opened.test, options, path);
    opened.final_test = convert(opened.final_test, options, path);
    return opened;
}

}  // namespace demi::data
