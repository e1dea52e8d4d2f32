#include "examples/train/testing.h"

#include <algorithm>
#include <cmath>

#include "autograd/grad_mode.h"
#include "examples/common/pca.h"
#include "examples/data/part.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/softmax/softmax.h"

namespace demi::examples {

TestResult test(const Classifier& model, const data::DataSet& set, const data::ChannelStats& stats,
                int64_t batch, const ForwardContext& context, Device device, const Watch& watch,
                const Communicator& world) {
    const NoGrad no_grad;
    ForwardContext quiet = context;
    quiet.training = false;
    TestResult result;
    const auto classes = static_cast<int64_t>(set.classes().size());
    result.confusion.classes = set.classes();
    result.confusion.counts.assign(static_cast<size_t>(classes * classes), 0);
    const int64_t count = set.size();
    // Per picture: loss of its batch (on the first), prediction, confidence. Each rank makes a run of batches.
    const int64_t each = (((count + batch - 1) / batch) + world.size() - 1) / world.size() * batch;
    Tensor own = Tensor::zeros({each, 3}, DType::f64);
    double* rows = own.mutable_data<double>();
    const int64_t first = world.rank() * each, last = std::min(first + each, count);
    for (int64_t begin = first; begin < last; begin += batch) {
        const data::Batch b = data::plain_batch(set, stats, begin, std::min(begin + batch, count));
        const Variable logits = model.forward(b.images.to(device), quiet);
        double* row = rows + 3 * (begin - first);
        row[0] = cross_entropy(logits, b.labels.to(device)).item() * static_cast<double>(b.labels.numel());
        const std::vector<float> p = softmax(logits).value().to_vector<float>();
        for (auto at = p.begin(); at != p.end(); at += classes, row += 3) {
            const auto best = std::max_element(at, at + classes);
            row[1] = static_cast<double>(best - at);
            row[2] = static_cast<double>(*best);
        }
        if (watch) watch(std::min(begin + batch, count), count);
    }
    const std::vector<double> all = world.all_gather(own).to_vector<double>();
    double loss = 0;
    int64_t right = 0;
    for (int64_t i = 0; i < count; ++i) {
        const double* row = all.data() + 3 * i;
        const auto predicted = static_cast<int64_t>(row[1]);
        loss += row[0];
        result.predicted.push_back(predicted);
        result.confidence.push_back(static_cast<float>(row[2]));
        right += predicted == set.label(i);
        ++result.confusion.counts[static_cast<size_t>(set.label(i) * classes + predicted)];
    }
    result.accuracy = static_cast<double>(right) / static_cast<double>(std::max<int64_t>(count, 1));
    result.loss = loss / static_cast<double>(std::max<int64_t>(count, 1));
    return result;
}

Picture picture_of(const data::Image& image) {
    Picture picture;
    picture.width = static_cast<int>(image.width);
    picture.height = static_cast<int>(image.height);
    picture.channels = static_cast<int>(image.channels);
    picture.pixels = image.pixels;
    return picture;
}

std::vector<Sample> samples_of(const TestResult& result, const data::DataSet& set) {
    const auto correct = [&](int64_t i) { return set.label(i) == result.predicted[static_cast<size_t>(i)]; };
    // Of a confidence that is NaN, too, there is a place in the order.
    const auto sure = [&](int64_t i) {
        const float c = result.confidence[static_cast<size_t>(i)];
        return std::isfinite(c) ? c : 0;
    };
    std::vector<int64_t> wrong, right;
    for (int64_t i = 0; i < std::ssize(result.predicted); ++i) (correct(i) ? right : wrong).push_back(i);
    const auto first = [](std::vector<int64_t>& list, size_t most, auto&& before) {
        std::stable_sort(list.begin(), list.end(), before);
        list.resize(std::min(list.size(), most));
    };
    first(wrong, kMostMistakes, [&](int64_t a, int64_t b) { return sure(a) > sure(b); });
    first(right, kMostRight, [&](int64_t a, int64_t b) { return sure(a) < sure(b); });
    wrong.insert(wrong.end(), right.begin(), right.end());
    std::vector<Sample> samples;
    for (const int64_t i : wrong) {
        Sample s;
        s.picture = picture_of(set.sample(i).image);
        s.truth = set.classes()[static_cast<size_t>(set.label(i))];
        s.predicted = set.classes()[static_cast<size_t>(result.predicted[static_cast<size_t>(i)])];
        s.confidence = result.confidence[static_cast<size_t>(i)];
        s.name = "test picture " + std::to_string(i);
        samples.push_back(std::move(s));
    }
    return samples;
}

std::vector<AttentionPicture> attention_of(const DinoVisionTransformer& model, const data::DataSetPtr& from,
                                           const data::ChannelStats& stats, Device device, int64_t pictures) {
    std::vector<AttentionPicture> all;
    const data::DataSetPtr part = data::part_of(from, pictures);
    const data::DataSet& set = *part;
    const int64_t count = std::min(pictures, set.size());
    if (count == 0) return all;
    const data::Batch b = data::plain_batch(set, stats, 0, count);
    const Tensor weights = model.get_last_selfattention(b.images.to(device)).to(Device::cpu());
    const int64_t side_y = b.images.size(2) / model.config().patch_size,
                  side_x = b.images.size(3) / model.config().patch_size;
    const int64_t first = 1 + model.config().num_register_tokens;
    for (int64_t i = 0; i < count; ++i) {
        AttentionPicture picture;
        const data::Sample sample = set.sample(i);
        picture.picture = picture_of(sample.image);
        picture.caption = set.classes()[static_cast<size_t>(sample.label)];
        picture.rows = static_cast<int>(side_y);
        picture.columns = static_cast<int>(side_x);
        for (int64_t h = 0; h < weights.size(1); ++h)
            picture.heads.push_back(weights.select(0, i)
                                        .select(0, h)
                                        .slice(0, first, first + side_y * side_x)
                                        .to_vector<float>());
        all.push_back(std::move(picture));
    }
    return all;
}

std::vector<PcaPicture> pca_pictures(const DinoVisionTransformer& model, const data::DataSetPtr& from,
                                     const data::ChannelStats& stats, Device device) {
    const NoGrad no_grad;
    const data::DataSetPtr part = data::part_of(from, 12);
    const data::DataSet& set = *part;
    const int64_t count = std::min<int64_t>(12, set.size());
    const data::Batch b = data::plain_batch(set, stats, 0, count);
    const ForwardContext context;
    const Tensor patches =
        model.forward_features(Variable(b.images.to(device)), context).x_norm_patchtokens.value();
    const int64_t side = set.height() / model.config().patch_size, per = side * side;
    const std::vector<float> features = patches.to_vector<float>();
    const std::vector<float> colours = pca_colours(features.data(), count * per, model.config().embed_dim);
    std::vector<PcaPicture> all;
    for (int64_t i = 0; i < count; ++i) {
        const data::Sample sample = set.sample(i);
        PcaPicture p;
        p.picture = picture_of(sample.image);
        p.caption = set.classes()[static_cast<size_t>(sample.label)];
        p.rows = p.columns = static_cast<int>(side);
        p.rgb.assign(colours.begin() + i * per * 3, colours.begin() + (i + 1) * per * 3);
        all.push_back(std::move(p));
    }
    return all;
}

std::vector<BoundaryRow> boundary_rows(const std::vector<demi::BoundaryRow>& counters) {
    std::vector<BoundaryRow> rows;
    for (const demi::BoundaryRow& from : counters) {
        BoundaryRow row;
        row.site = from.site.empty() ? from.op : from.site + " " + from.op;
        row.operand = from.operand;
        row.direction = std::string(name(from.direction));
        row.elements = from.counters.elements;
        row.to_inf = from.counters.to_inf;
        row.nan = from.counters.nan;
        row.to_zero = from.counters.to_zero;
        row.subnormal = from.counters.subnormal;
        row.amax = from.counters.amax;
        rows.push_back(std::move(row));
    }
    return rows;
}

}  // namespace demi::examples
