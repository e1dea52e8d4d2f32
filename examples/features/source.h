#pragma once
// The pictures that features are computed of: a data set or its parts, one picture, or a list of files.
#include <string>
#include <vector>

#include "examples/data/dataset.h"
#include "examples/data/framing.h"

namespace demi::examples {

struct SourceOptions {
    // A folder of pictures, CIFAR-10 or IDX files, "drawn"; a picture; a text file with one path a line, or "-" for such
    // lines on standard input. A tab and a class may follow a path. Paths count from the working directory, else from
    // the folder of the list.
    std::string data;
    std::string
        split;  // train, val, test, all, or "": the held-out part where the data has one, else every picture
    int64_t channels = 3;
    bool upright = true, skip_broken = false;
    data::FramingOptions framing;
};

class PictureSource {
  public:
    explicit PictureSource(const SourceOptions& options);

    int64_t size() const { return begins_.back(); }
    const std::string& split() const { return split_; }               // "test", "all", ...
    const std::vector<std::string>& parts() const { return parts_; }  // "train", "test": what `part` counts
    const std::vector<std::string>& classes() const { return classes_; }
    const std::vector<std::string>& notes() const {
        return notes_;
    }  // for the user: layout, what was left out

    int64_t part(int64_t index) const;
    int64_t label(int64_t index) const;     // -1: none
    std::string name(int64_t index) const;  // of the file, from the folder on; "test/17" for what has no file
    // Framed, with the channels asked for. Reads the file; throws where it is broken. Any thread.
    data::Image image(int64_t index) const;
    const data::DataSet& first() const { return *sets_[0]; }
    uint64_t fingerprint() const;

  private:
    void open_list(const std::string& text, const std::string& beside);
    void open_data();
    void add(const std::string& part, const data::DataSetPtr& set);

    SourceOptions options_;
    std::string split_;
    std::vector<std::string> parts_, classes_, notes_;
    std::vector<data::DataSetPtr> sets_;
    std::vector<int64_t> begins_{0};
    bool labelled_ = true, relative_ = false;
};

}  // namespace demi::examples
