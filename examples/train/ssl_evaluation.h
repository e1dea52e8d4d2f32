#pragma once
// How good the teacher's class tokens are, beside two yardsticks: the same network before training, and
// the pictures themselves. Compared on the same pictures, always: k-NN grows with the number of
// neighbours to choose from.
#include <cmath>
#include <functional>
#include <limits>

#include "examples/train/common.h"
#include "examples/train/knn.h"
#include "runtime/safetensors.h"

namespace demi::examples {

struct SslScores {  // accuracies; NaN: not measured
    double knn = std::numeric_limits<double>::quiet_NaN(), untrained = knn, pixels = knn, probe = knn;
    int64_t neighbours = 0;  // pictures to find the nearest among
    bool measured() const { return !std::isnan(knn); }
};

class SslEvaluation {
  public:
    SslEvaluation() = default;
    // Keeps references. Before and during the run, at most `most` training pictures
    // and as many test pictures.
    SslEvaluation(const TrainData& data, const ForwardContext& context, Device device, int64_t most,
                  const Communicator& world = {});

    bool possible() const { return full_test_ != nullptr; }  // labels of two or more classes, and a test part
    void before(const DinoVisionTransformer& model, const Watch& watch);              // the yardsticks, once
    const SslScores& during(const DinoVisionTransformer& model, const Watch& watch);  // a quick look
    // Up to 50,000 training and 10,000 test pictures; `untrained` calls its argument
    // with the untrained network.
    using WithModel = std::function<void(const DinoVisionTransformer&)>;
    const SslScores& after(const DinoVisionTransformer& model,
                           const std::function<void(const WithModel&)>& untrained, bool probe,
                           const Watch& watch);

    const SslScores& quick() const { return quick_; }
    const SslScores& full() const { return full_; }
    // What was measured so far, for a checkpoint.
    void save(Metadata& metadata) const;
    void load(const Metadata& metadata);

  private:
    std::pair<Features, Features> features(const DinoVisionTransformer& model, bool all,
                                           const Watch& watch) const;
    double knn_of_pixels(bool all, const Watch& watch) const;

    const TrainData* data_ = nullptr;
    const ForwardContext* context_ = nullptr;
    Device device_;
    Communicator world_;
    data::DataSetPtr quick_train_, quick_test_, full_train_, full_test_;
    SslScores quick_, full_;
};

}  // namespace demi::examples
