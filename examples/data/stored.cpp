#include "examples/data/stored.h"

#include <algorithm>

#include "examples/data/hash.h"
#include "examples/data/keyed_rng.h"
#include "runtime/check.h"
#include "runtime/parallel.h"

namespace demi::data {

StoredDataSet::StoredDataSet(Stored content, const std::string& source) : content_(std::move(content)) {
    const auto classes = static_cast<int64_t>(content_.classes.size());
    const int64_t image = content_.height * content_.width * content_.channels;
    check(image > 0, "data", source, ": images need at least one pixel, got ", content_.height, "x",
          content_.width, "x", content_.channels);
    check(checked_mul(image, size(), "data") == static_cast<int64_t>(content_.pixels.size()), "data", source,
          ": ", size(), " labels need ", image * size(), " bytes of images, got ", content_.pixels.size());
    check(size() > 0, "data", source, ": no images");
    Hash hash;
    hash.add(content_.height).add(content_.width).add(content_.channels);
    for (int64_t i = 0; i < size(); ++i) {
        const int64_t y = content_.labels[static_cast<size_t>(i)];
        check(y >= 0 && y < classes, "data", source, ": label ", y, " of image ", i, " is out of range [0, ",
              classes, ")");
        hash.add(y);
    }
    for (const std::string& name : content_.classes) hash.add(name);
    hash.add(content_.pixels.data(), content_.pixels.size());
    fingerprint_ = hash.value();
}

Sample StoredDataSet::sample(int64_t index) const {
    Sample s{Image(content_.height, content_.width, content_.channels), label(index)};
    const size_t bytes = s.image.pixels.size();
    std::copy_n(content_.pixels.data() + static_cast<size_t>(index) * bytes, bytes, s.image.pixels.data());
    return s;
}

int64_t StoredDataSet::label(int64_t index) const {
    check(index >= 0 && index < size(), "data", "sample ", index, " is out of range [0, ", size(), ")");
    return content_.labels[static_cast<size_t>(index)];
}

DataSetPtr preload(const DataSet& from, const std::string& source) {
    Stored content{from.height(), from.width(), from.channels(), {}, {}, from.classes()};
    const int64_t image = content.height * content.width * content.channels;
    content.pixels.resize(static_cast<size_t>(checked_mul(image, from.size(), "data")));
    content.labels.resize(static_cast<size_t>(from.size()));
    parallel_ranges(from.size(), 16, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const Sample s = from.sample(i);
            std::copy(s.image.pixels.begin(), s.image.pixels.end(), content.pixels.begin() + i * image);
            content.labels[static_cast<size_t>(i)] = s.label;
        }
    });
    return std::make_shared<StoredDataSet>(std::move(content), source);
}

namespace {

class Subset final : public DataSet {
  public:
    Subset(DataSetPtr from, std::vector<int64_t> positions)
        : from_(std::move(from)), positions_(std::move(positions)) {
        Hash hash;
        hash.add(static_cast<int64_t>(from_->fingerprint()));
        for (const int64_t p : positions_) {
            check(p >= 0 && p < from_->size(), "data", "position ", p, " is out of range [0, ", from_->size(),
                  ")");
            hash.add(p);
        }
        fingerprint_ = hash.value();
    }

    int64_t size() const override { return static_cast<int64_t>(positions_.size()); }
    const std::vector<std::string>& classes() const override { return from_->classes(); }
    Sample sample(int64_t index) const override { return from_->sample(position(index)); }
    int64_t label(int64_t index) const override { return from_->label(position(index)); }
    std::string source(int64_t index) const override { return from_->source(position(index)); }
    int64_t height() const override { return from_->height(); }
    int64_t width() const override { return from_->width(); }
    int64_t channels() const override { return from_->channels(); }
    uint64_t fingerprint() const override { return fingerprint_; }

  private:
    int64_t position(int64_t index) const {
        check(index >= 0 && index < size(), "data", "sample ", index, " is out of range [0, ", size(), ")");
        return positions_[static_cast<size_t>(index)];
    }

    DataSetPtr from_;
    std::vector<int64_t> positions_;
    uint64_t fingerprint_ = 0;
};

}  // namespace

DataSetPtr subset(DataSetPtr from, std::vector<int64_t> positions) {
    return std::make_shared<Subset>(std::move(from), std::move(positions));
}

Halves split_off(const DataSetPtr& all, double test_fraction, uint64_t seed) {
    check(test_fraction >= 0 && test_fraction < 1, "data", "test fraction must be in [0, 1), got ",
          test_fraction);
    std::vector<std::vector<int64_t>> by_class(all->classes().size());
    for (int64_t i = 0; i < all->size(); ++i) by_class[static_cast<size_t>(all->label(i))].push_back(i);
    std::vector<int64_t> train, test;
    for (size_t c = 0; c < by_class.size(); ++c) {
        std::vector<int64_t>& members = by_class[c];
        const auto count = static_cast<int64_t>(members.size());
        KeyedRng rng(seed, Purpose::split, 0, c);
        for (int64_t i = count - 1; i > 0; --i)
            std::swap(members[static_cast<size_t>(i)], members[static_cast<size_t>(rng.below(i + 1))]);
        auto taken = static_cast<int64_t>(test_fraction * static_cast<double>(count) + 0.5);
        if (count >= 2 && test_fraction > 0) taken = std::clamp<int64_t>(taken, 1, count - 1);
        taken = std::min(taken, std::max<int64_t>(count - 1, 0));
        test.insert(test.end(), members.begin(), members.begin() + taken);
        train.insert(train.end(), members.begin() + taken, members.end());
    }
    std::sort(train.begin(), train.end());
    std::sort(test.begin(), test.end());
    check(test_fraction == 0 || !test.empty(), "data",
          "too few images to set some apart for testing: ", all->size());
    return {subset(all, std::move(train)), subset(all, std::move(test))};
}

}  // namespace demi::data
