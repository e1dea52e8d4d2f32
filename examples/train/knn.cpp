#include "examples/train/knn.h"

#include <algorithm>
#include <cmath>

#include "autograd/grad_mode.h"
#include "examples/data/part.h"
#include "examples/data/resample.h"
#include "ops/l2_normalize/l2_normalize.h"
#include "ops/matmul/matmul.h"
#include "runtime/copy.h"
#include "runtime/parallel.h"

namespace demi::examples {

static Features labelled(const data::DataSet& set) {
    return {{}, data::labels_of(set), std::ssize(set.classes())};
}

Features cls_features(const DinoVisionTransformer& model, const data::DataSet& set,
                      const data::ChannelStats& stats, int64_t batch, const ForwardContext& context,
                      Device device, const Watch& watch, const Communicator& world) {
    const NoGrad no_grad;
    ForwardContext quiet = context;
    quiet.training = false;
    if (!quiet.boundary.site.empty()) quiet.boundary.site = "evaluation";
    Features f = labelled(set);
    const int64_t count = set.size();
    // Each rank makes a run of batches.
    const int64_t each = ceil_div(ceil_div(count, batch), world.size()) * batch;
    Tensor own = Tensor::zeros({each, model.config().embed_dim});
    const int64_t first = world.rank() * each, last = std::min(first + each, count);
    for (int64_t begin = first; begin < last; begin += batch) {
        const int64_t end = std::min(begin + batch, count);
        const data::Batch b = data::plain_batch(set, stats, begin, end);
        copy(own.slice(0, begin - first, end - first),
             model.forward(Variable(b.images.to(device)), quiet).value());
        if (watch) watch(end, count);
    }
    f.rows = world.all_gather(own).slice(0, 0, count);
    return f;
}

Features pixel_features(const data::DataSet& set, const data::ChannelStats& stats, const Watch& watch) {
    constexpr int64_t kMostSide = 32, kBlock = 1024;
    Features f = labelled(set);
    const int64_t count = set.size();
    const int64_t height = std::min(set.height(), kMostSide), width = std::min(set.width(), kMostSide);
    const int64_t size = set.channels() * height * width;
    f.rows = Tensor::empty({count, size});
    float* out = f.rows.mutable_data<float>();
    const auto fill = [&](int64_t i) {
        float* row = out + i * size;
        data::Image image = set.sample(i).image;
        if (image.height != height || image.width != width) image = data::resize(image, height, width);
        data::normalize(image, stats, row);
        double sum = 0;
        for (int64_t j = 0; j < size; ++j) sum += static_cast<double>(row[j]);
        const auto mean = static_cast<float>(sum / static_cast<double>(size));
        for (int64_t j = 0; j < size; ++j) row[j] -= mean;
    };
    for (int64_t begin = 0; begin < count; begin += kBlock) {
        const int64_t end = std::min(begin + kBlock, count);
        parallel_for(end - begin, [&](int64_t i) { fill(begin + i); });
        if (watch) watch(end, count);
    }
    return f;
}

std::vector<double> knn_accuracy(const Features& train, const Features& test, const std::vector<int64_t>& ks,
                                 double temperature, const Watch& watch) {
    check(train.rows.size(0) > 0 && test.rows.size(0) > 0, "knn", "needs train and test features");
    const NoGrad no_grad;
    const Tensor bank = l2_normalize(train.rows).value(), queries = l2_normalize(test.rows).value();
    const int64_t n = bank.size(0), m = queries.size(0);
    const int64_t most = std::min(*std::max_element(ks.begin(), ks.end()), n);
    std::vector<std::vector<uint8_t>> right(ks.size(), std::vector<uint8_t>(static_cast<size_t>(m), 0));
    constexpr int64_t kBlock = 256;
    for (int64_t begin = 0; begin < m; begin += kBlock) {
        const int64_t end = std::min(begin + kBlock, m);
        const Tensor similar = matmul(queries.slice(0, begin, end), bank.transpose(0, 1)).value();
        const float* all = similar.data<float>();
        parallel_for(end - begin, [&](int64_t i) {
            const float* row = all + i * n;
            std::vector<int64_t> order(static_cast<size_t>(n));
            for (int64_t j = 0; j < n; ++j) order[static_cast<size_t>(j)] = j;
            std::partial_sort(order.begin(), order.begin() + most, order.end(), [row](int64_t a, int64_t b) {
                return row[a] != row[b] ? row[a] > row[b] : a < b;
            });
            std::vector<double> votes(static_cast<size_t>(train.classes), 0);
            size_t k = 0;
            for (int64_t j = 0; j < most; ++j) {
                const int64_t at = order[static_cast<size_t>(j)];
                votes[static_cast<size_t>(train.labels[static_cast<size_t>(at)])] +=
                    std::exp(static_cast<double>(row[at]) / temperature);
                for (k = 0; k < ks.size(); ++k) {
                    if (std::min(ks[k], n) != j + 1) continue;
                    const int64_t vote = std::max_element(votes.begin(), votes.end()) - votes.begin();
                    right[k][static_cast<size_t>(begin + i)] =
                        vote == test.labels[static_cast<size_t>(begin + i)];
                }
            }
        });
        if (watch) watch(end, m);
    }
    std::vector<double> accuracy;
    for (const auto& r : right)
        accuracy.push_back(static_cast<double>(std::count(r.begin(), r.end(), 1)) / static_cast<double>(m));
    return accuracy;
}

}  // namespace demi::examples
