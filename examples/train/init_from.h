#pragma once
// --init-from: what a run takes from weights.
#include <optional>

#include "examples/data/stats.h"
#include "examples/train/options.h"
#include "models/pretrained/pretrained.h"

namespace demi::examples {

class InitFrom {
  public:
    // Reads headers. Without --init-from: nothing, and all below changes nothing. Of a run that goes on the network is that
    // of its own checkpoint.
    explicit InitFrom(const TrainOptions& options);
    bool any() const { return weights_.has_value(); }

    // Before the data are opened: size and channels of the pictures where the options leave them open, the patch.
    void adapt(TrainOptions& options) const;
    // The network of the weights for pictures of this size, and into `options` what it is. Flags that say otherwise
    // are refused, but for what only more or fewer parameters tell apart (--depth, --registers, --layer-scale).
    ViTConfig config(TrainOptions& options, int64_t image_size, int64_t channels) const;
    // How pictures are normalised: as for the weights.
    data::ChannelStats stats(const data::ChannelStats& otherwise, int64_t channels) const;

    // Fills the parameters, and prints what was found, loaded and brought into another shape. A classifier's head ("head.")
    // is taken class by class, by name; where the file names none, as a whole if it has as many. True where all heads
    // were loaded.
    bool load(const NamedParameters& parameters, const std::vector<std::string>& classes, bool partial,
              bool print = true) const;

  private:
    std::optional<Pretrained> weights_;
};

// --freeze: the parameters that it names do not learn. Before an optimizer is made. Throws for what is neither "backbone" nor
// a number of blocks in [1, depth].
void freeze(const NamedParameters& parameters, const std::string& what, int64_t depth);

}  // namespace demi::examples
