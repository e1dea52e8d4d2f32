#pragma once
// How good features are, without training a network on top: nearest neighbours, and a linear probe.
#include <functional>

#include "examples/data/batches.h"
#include "examples/train/watch.h"
#include "models/vision_transformer.h"
#include "runtime/comm/communicator.h"

namespace demi::examples {

struct Features {
    Tensor rows;                  // f32 [n, D], on the CPU
    std::vector<int64_t> labels;  // n
    int64_t classes = 0;
};

// Normalised class tokens; the ranks of a job share the pictures out, and all get all.
Features cls_features(const DinoVisionTransformer& model, const data::DataSet& set,
                      const data::ChannelStats& stats, int64_t batch, const ForwardContext& context,
                      Device device, const Watch& watch = {}, const Communicator& world = {});
// The pictures themselves, normalised per channel and centred per picture, larger ones shrunk to 32 pixels
// a side: what any learned feature has to beat.
Features pixel_features(const data::DataSet& set, const data::ChannelStats& stats, const Watch& watch = {});

// DINO's k-NN: cosine similarity, the k nearest vote with weight exp(similarity /
// temperature). Accuracy per k.
std::vector<double> knn_accuracy(const Features& train, const Features& test, const std::vector<int64_t>& ks,
                                 double temperature = 0.07, const Watch& watch = {});

// A linear layer trained by SGD with momentum on standardised features (learning rates tried: three, the best
// counts on a held-out tenth of the training features, of every class its share). Accuracy on `test`.
double linear_probe_accuracy(const Features& train, const Features& test, int64_t epochs = 30,
                             uint64_t seed = 0, const Watch& watch = {});

}  // namespace demi::examples
