#include "examples/train/ssl_evaluation.h"

#include "models/state.h"

namespace demi::examples {
namespace {

const std::vector<int64_t> kNeighbours = {10};

constexpr int64_t kMostTrain = 50000, kMostTest = 10000;  // of the thorough evaluation

double knn(const std::pair<Features, Features>& sets) {
    return knn_accuracy(sets.first, sets.second, kNeighbours)[0];
}

Features first(const Features& all, int64_t most) {
    const int64_t count = std::min(most, all.rows.size(0));
    return {all.rows.slice(0, 0, count), {all.labels.begin(), all.labels.begin() + count}, all.classes};
}

}  // namespace

SslEvaluation::SslEvaluation(const TrainData& data, const ForwardContext& context, Device device,
                             int64_t most)
    : data_(&data), context_(&context), device_(device), most_(most),
      train_(std::min(data.train_count, kMostTrain)),
      test_(data.opened.test ? std::min(data.test_count, kMostTest) : 0) {
    quick_.neighbours = std::min(train_, most_);
    full_.neighbours = train_;
}

std::pair<Features, Features> SslEvaluation::features(const DinoVisionTransformer& model,
                                                      int64_t most) const {
    const auto of = [&](const data::DataSet& set, int64_t count) {
        return cls_features(model, set, data_->stats, std::min(count, most), 256, *context_, device_);
    };
    return {of(*data_->opened.train, train_), of(*data_->opened.test, test_)};
}

std::pair<Features, Features> SslEvaluation::pixels() const {
    return {pixel_features(*data_->opened.train, data_->stats, train_),
            pixel_features(*data_->opened.test, data_->stats, test_)};
}

void SslEvaluation::before(const DinoVisionTransformer& model) {
    const auto both = [&](const std::pair<Features, Features>& all, double SslScores::*score) {
        full_.*score = knn(all);
        quick_.*score = knn({first(all.first, most_), first(all.second, most_)});
    };
    both(features(model, INT64_MAX), &SslScores::untrained);
    both(pixels(), &SslScores::pixels);
    quick_.knn = quick_.untrained;
    full_.knn = full_.untrained;
}

const SslScores& SslEvaluation::during(const DinoVisionTransformer& model) {
    quick_.knn = knn(features(model, most_));
    return quick_;
}

const SslScores& SslEvaluation::after(const DinoVisionTransformer& model, bool probe) {
    const auto all = features(model, INT64_MAX);
    full_.knn = knn(all);
    if (probe) full_.probe = linear_probe_accuracy(all.first, all.second);
    return full_;
}

void SslEvaluation::save(Metadata& metadata) const {
    metadata["untrained"] = exact_text(full_.untrained);
    metadata["pixels"] = exact_text(full_.pixels);
    metadata["quick_untrained"] = exact_text(quick_.untrained);
    metadata["quick_pixels"] = exact_text(quick_.pixels);
}

void SslEvaluation::load(const Metadata& metadata) {
    full_.untrained = state_double(metadata, "untrained");
    full_.pixels = state_double(metadata, "pixels");
    quick_.untrained = state_double(metadata, "quick_untrained");
    quick_.pixels = state_double(metadata, "quick_pixels");
}

}  // namespace demi::examples
