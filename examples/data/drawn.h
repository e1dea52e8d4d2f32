#pragma once
// The data set that the program draws itself: ten figures in any colour, place, size and turn, on
// textured grounds. Sample i is a pure function of (seed, split, i); labels go round: i % 10. The
// same bytes on every machine.
#include "examples/data/dataset.h"

namespace demi::data {

enum class Split { train, test };

class DrawnDataSet final : public DataSet {
  public:
    DrawnDataSet(int64_t count, Split split, uint64_t seed = 0, int64_t image_size = 32);

    int64_t size() const override { return count_; }
    const std::vector<std::string>& classes() const override;
    Sample sample(int64_t index) const override;
    int64_t label(int64_t index) const override;
    int64_t height() const override { return image_size_; }
    int64_t width() const override { return image_size_; }
    int64_t channels() const override { return 3; }
    uint64_t fingerprint() const override;

  private:
    int64_t count_;
    Split split_;
    uint64_t seed_;
    int64_t image_size_;
};

}  // namespace demi::data
