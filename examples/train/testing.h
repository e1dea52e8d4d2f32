#pragma once
// A classifier on a whole data set, without a graph.
#include "examples/common/report.h"
#include "examples/data/batches.h"
#include "examples/train/classifier.h"
#include "examples/train/watch.h"
#include "runtime/comm/communicator.h"

namespace demi::examples {

struct TestResult {
    double accuracy = 0, loss = 0;
    std::vector<int64_t> predicted;  // one per picture
    std::vector<float> confidence;   // probability of the predicted class
    Confusion confusion;
};

TestResult test(const Classifier& model, const data::DataSet& set, const data::ChannelStats& stats,
                int64_t batch, const ForwardContext& context, Device device, const Watch& watch = {},
                const Communicator& world = {});

// Pictures with their prediction, of all that were tested: the mistakes that the model was surest of, and the right ones
// that it was least sure of.
std::vector<Sample> samples_of(const TestResult& result, const data::DataSet& set);
// The class token's attention in the last block, on pictures of different classes.
std::vector<AttentionPicture> attention_of(const DinoVisionTransformer& model, const data::DataSetPtr& from,
                                           const data::ChannelStats& stats, Device device,
                                           int64_t pictures = 6);
// Patch features of pictures of all classes, as colours.
std::vector<PcaPicture> pca_pictures(const DinoVisionTransformer& model, const data::DataSetPtr& from,
                                     const data::ChannelStats& stats, Device device);
Picture picture_of(const data::Image& image);
std::vector<BoundaryRow> boundary_rows(const std::vector<demi::BoundaryRow>& counters);

}  // namespace demi::examples
