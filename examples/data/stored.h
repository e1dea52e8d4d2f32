#pragma once
// A data set whose pictures all lie in memory, as bytes.
#include <string>
#include <vector>

#include "examples/data/dataset.h"

namespace demi::data {

struct Stored {
    int64_t height = 0, width = 0, channels = 0;
    std::vector<uint8_t> pixels;  // all images after each other
    std::vector<int64_t> labels;
    std::vector<std::string> classes;
};

class StoredDataSet final : public DataSet {
  public:
    // Throws where sizes do not agree or a label is outside the classes; `source`
    // names the file in the message.
    StoredDataSet(Stored content, const std::string& source);

    int64_t size() const override { return static_cast<int64_t>(content_.labels.size()); }
    const std::vector<std::string>& classes() const override { return content_.classes; }
    Sample sample(int64_t index) const override;
    int64_t label(int64_t index) const override;
    int64_t height() const override { return content_.height; }
    int64_t width() const override { return content_.width; }
    int64_t channels() const override { return content_.channels; }
    uint64_t fingerprint() const override { return fingerprint_; }

  private:
    Stored content_;
    uint64_t fingerprint_ = 0;
};

// Every sample of `from` computed once, in parallel, and kept.
DataSetPtr preload(const DataSet& from, const std::string& source);

// The samples with the given positions, in that order; shares `from`.
DataSetPtr subset(DataSetPtr from, std::vector<int64_t> positions);

// A share of the samples, drawn from every class by a keyed shuffle, set apart: {train, test}. Every class
// with two or more samples keeps at least one on either side.
struct Halves {
    DataSetPtr train, test;
};
Halves split_off(const DataSetPtr& all, double test_fraction, uint64_t seed);

}  // namespace demi::data
