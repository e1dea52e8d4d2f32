#include <algorithm>
#include <cmath>

#include "autograd/grad_mode.h"
#include "examples/data/part.h"
#include "examples/train/knn.h"
#include "models/layers.h"
#include "models/optimizer.h"
#include "models/schedule.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/index/index_select.h"

namespace demi::examples {
namespace {

constexpr int64_t kBatch = 256;

// Zero mean and unit variance per feature, by the training features.
void standardise(Tensor train, Tensor test) {
    const int64_t n = train.size(0), d = train.size(1);
    float *x = train.mutable_data<float>(), *y = test.mutable_data<float>();
    for (int64_t j = 0; j < d; ++j) {
        double sum = 0, square = 0;
        for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i * d + j]);
        const double mean = sum / static_cast<double>(n);
        for (int64_t i = 0; i < n; ++i) square += std::pow(static_cast<double>(x[i * d + j]) - mean, 2);
        const double scale = 1 / std::sqrt(square / static_cast<double>(n) + 1e-6);
        const auto apply = [&](float* rows, int64_t count) {
            for (int64_t i = 0; i < count; ++i)
                rows[i * d + j] = static_cast<float>((static_cast<double>(rows[i * d + j]) - mean) * scale);
        };
        apply(x, n);
        apply(y, test.size(0));
    }
}

double accuracy(const Linear& layer, const Tensor& rows, std::span<const int64_t> labels) {
    const NoGrad no_grad;
    const std::vector<float> logits = layer.forward(Variable(rows)).value().to_vector<float>();
    const auto classes = static_cast<size_t>(layer.weight.size(0));
    size_t right = 0;
    for (size_t i = 0; i < labels.size(); ++i) {
        const auto row = logits.begin() + static_cast<std::ptrdiff_t>(i * classes);
        right += std::max_element(row, row + static_cast<std::ptrdiff_t>(classes)) - row == labels[i];
    }
    return labels.empty() ? 0 : static_cast<double>(right) / static_cast<double>(labels.size());
}

Linear fit(const Tensor& rows, std::span<const int64_t> labels, int64_t classes, double lr, int64_t epochs,
           uint64_t seed, const std::function<void()>& epoch_done) {
    Generator generator{seed, 0};
    Linear layer(rows.size(1), classes, true, generator, 0.01);
    const NamedParameters parameters = parameters_of(layer);
    OptimizerOptions settings;
    settings.kind = OptimizerKind::sgd;
    Optimizer optimizer(parameters, std::vector<ParameterOptions>(parameters.size()), settings);
    const int64_t n = rows.size(0), steps = epochs * ((n + kBatch - 1) / kBatch);
    const CosineSchedule rate{lr, 0, steps, 0, 0, 0};
    const Tensor targets = Tensor::from(labels, {n});
    for (int64_t step = 0; step < steps;) {
        const std::vector<int64_t> order = generator.permutation(n);
        for (int64_t begin = 0; begin < n; begin += kBatch, ++step) {
            const int64_t count = std::min(kBatch, n - begin);
            const Tensor index = Tensor::from(
                std::span(order).subspan(static_cast<size_t>(begin), static_cast<size_t>(count)), {count});
            const Variable loss = cross_entropy(layer.forward(index_select(Variable(rows), 0, index)),
                                                index_select(Variable(targets), 0, index));
            loss.backward();
            optimizer.step({.lr = rate.at(step)});
            optimizer.zero_grad();
        }
        epoch_done();
    }
    return layer;
}

Features rows_at(const Features& all, const std::vector<int64_t>& positions) {
    const NoGrad no_grad;
    const Tensor index = Tensor::from(positions, {std::ssize(positions)});
    Features some{index_select(Variable(all.rows), 0, index).value(), {}, all.classes};
    for (const int64_t p : positions) some.labels.push_back(all.labels[static_cast<size_t>(p)]);
    return some;
}

}  // namespace

double linear_probe_accuracy(const Features& train, const Features& test, int64_t epochs, uint64_t seed,
                             const Watch& watch) {
    const Features all{train.rows.clone(), train.labels, train.classes};
    const Tensor unseen = test.rows.clone();
    standardise(all.rows, unseen);
    const int64_t n = all.rows.size(0), held = std::max<int64_t>(n / 10, 1);
    check(n > held, "linear_probe", "needs more than ", held, " training features: got ", n);
    const std::vector<int64_t> part = data::stratified_part(train.labels, held, seed);
    const Features tried = rows_at(all, part), learned = rows_at(all, data::without(part, n));
    int64_t done = 0;
    const auto epoch_done = [&] {
        if (watch) watch(++done, 4 * epochs);
    };
    double best = -1, best_lr = 0;
    for (double lr : {0.003, 0.03, 0.3}) {
        const Linear layer = fit(learned.rows, learned.labels, train.classes, lr, epochs, seed, epoch_done);
        const double score = accuracy(layer, tried.rows, tried.labels);
        if (score > best) best = score, best_lr = lr;
    }
    return accuracy(fit(all.rows, all.labels, train.classes, best_lr, epochs, seed, epoch_done), unseen,
                    test.labels);
}

}  // namespace demi::examples
