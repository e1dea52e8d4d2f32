#include "examples/train/ssl_evaluation.h"

#include "examples/data/part.h"
#include "models/state.h"

namespace demi::examples {
namespace {

const std::vector<int64_t> kNeighbours = {10};

constexpr int64_t kMostTrain = 50000, kMostTest = 10000;  // of the thorough evaluation

double knn(const std::pair<Features, Features>& sets, const Watch& watch) {
    return knn_accuracy(sets.first, sets.second, kNeighbours, 0.07, watch)[0];
}

}  // namespace

SslEvaluation::SslEvaluation(const TrainData& data, const ForwardContext& context, Device device,
                             int64_t most, const Communicator& world)
    : data_(&data), context_(&context), device_(device), world_(world) {
    if (!data.measurable) return;
    full_train_ = data::part_of(data.opened.train, kMostTrain);
    const bool both = data.opened.final_test != nullptr;
    full_test_ = data::part_of(both ? data.opened.final_test : data.opened.test, kMostTest);
    quick_train_ = data::part_of(full_train_, most);
    quick_test_ = data::part_of(both ? data.opened.test : full_test_, most);
    quick_.neighbours = quick_train_->size();
    full_.neighbours = full_train_->size();
}

std::pair<Features, Features> SslEvaluation::features(const DinoVisionTransformer& model, bool all,
                                                      const Watch& watch) const {
    const auto of = [&](const data::DataSetPtr& set) {
        return cls_features(model, *set, data_->stats, 256, *context_, device_, watch, world_);
    };
    return {of(all ? full_train_ : quick_train_), of(all ? full_test_ : quick_test_)};
}

double SslEvaluation::knn_of_pixels(bool all, const Watch& watch) const {
    const auto of = [&](const data::DataSetPtr& set) { return pixel_features(*set, data_->stats, watch); };
    return knn({of(all ? full_train_ : quick_train_), of(all ? full_test_ : quick_test_)}, watch);
}

void SslEvaluation::before(const DinoVisionTransformer& model, const Watch& watch) {
    quick_.untrained = knn(features(model, false, watch), watch);
    quick_.pixels = knn_of_pixels(false, watch);
    quick_.knn = quick_.untrained;
}

const SslScores& SslEvaluation::during(const DinoVisionTransformer& model, const Watch& watch) {
    quick_.knn = knn(features(model, false, watch), watch);
    return quick_;
}

const SslScores& SslEvaluation::after(const DinoVisionTransformer& model,
                                      const std::function<void(const WithModel&)>& untrained, bool probe,
                                      const Watch& watch) {
    if (full_train_ == quick_train_ && full_test_ == quick_test_) {
        full_.untrained = quick_.untrained;
        full_.pixels = quick_.pixels;
    }
    if (std::isnan(full_.untrained))
        untrained([&](const DinoVisionTransformer& fresh) {
            full_.untrained = knn(features(fresh, true, watch), watch);
        });
    if (std::isnan(full_.pixels)) full_.pixels = knn_of_pixels(true, watch);
    const auto all = features(model, true, watch);
    full_.knn = knn(all, watch);
    if (probe) full_.probe = linear_probe_accuracy(all.first, all.second, 30, 0, watch);
    return full_;
}

void SslEvaluation::save(Metadata& metadata) const {
    const auto put = [&](const char* name, double score) {
        if (!std::isnan(score)) metadata[name] = exact_text(score);
    };
    put("untrained", full_.untrained);  // of earlier versions
    put("pixels", full_.pixels);
    put("quick_untrained", quick_.untrained);
    put("quick_pixels", quick_.pixels);
    put("quick_knn", quick_.knn);
}

void SslEvaluation::load(const Metadata& metadata) {
    if (!possible()) return;
    const auto get = [&](const char* name, double& score) {
        if (metadata.contains(name)) score = state_double(metadata, name);
    };
    get("untrained", full_.untrained);
    get("pixels", full_.pixels);
    get("quick_untrained", quick_.untrained);
    get("quick_pixels", quick_.pixels);
    get("quick_knn", quick_.knn);
}

}  // namespace demi::examples
