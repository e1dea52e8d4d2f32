#pragma once
// How good the teacher's class tokens are, beside two yardsticks: the same network before training, and
// the pictures themselves. Compared on the same pictures, always: k-NN grows with the number of
// neighbours to choose from.
#include "examples/train/common.h"
#include "examples/train/knn.h"
#include "runtime/safetensors.h"

namespace demi::examples {

struct SslScores {
    double knn = 0, untrained = 0, pixels = 0, probe = -1;  // accuracies; probe below 0: not made
    int64_t neighbours = 0;                                 // pictures to find the nearest among
};

class SslEvaluation {
  public:
    SslEvaluation() = default;
    // Keeps references. During the run, at most `most` training pictures and as many test pictures.
    SslEvaluation(const TrainData& data, const ForwardContext& context, Device device, int64_t most);

    void before(const DinoVisionTransformer& model);                         // the yardsticks, once
    const SslScores& during(const DinoVisionTransformer& model);             // a quick look
    const SslScores& after(const DinoVisionTransformer& model, bool probe);  // up to 50,000 pictures

    const SslScores& quick() const { return quick_; }
    const SslScores& full() const { return full_; }
    // The yardsticks, for a checkpoint.
    void save(Metadata& metadata) const;
    void load(const Metadata& metadata);

  private:
    std::pair<Features, Features> features(const DinoVisionTransformer& model, int64_t most) const;
    std::pair<Features, Features> pixels() const;

    const TrainData* data_ = nullptr;
    const ForwardContext* context_ = nullptr;
    Device device_;
    int64_t most_ = 0, train_ = 0, test_ = 0;
    SslScores quick_, full_;
};

}  // namespace demi::examples
