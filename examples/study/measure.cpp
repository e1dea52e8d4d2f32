#include "examples/study/measure.h"

#include <cmath>

#include "autograd/grad_mode.h"
#include "examples/common/format.h"
#include "ops/index_select_cat/index_select_cat.h"
#include "ops/layernorm/layernorm.h"
#include "ops/memory_efficient_attention/memory_efficient_attention.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "runtime/allocator.h"
#include "runtime/random.h"

namespace demi::examples::study {
namespace {

constexpr int64_t kImages = 10, kKept = 7, kPatches = 50, kDim = 192;
constexpr size_t kShown = 700;

Tensor draw(const Shape& shape, double sigma, Generator& generator) {
    Tensor t = Tensor::empty(shape);
    normal(t, generator, 0, sigma);
    return t;
}

Tensor some_images(Generator& generator) {
    const std::vector<int64_t> order = generator.permutation(kImages);
    return Tensor::from(std::vector<int64_t>(order.begin(), order.begin() + kKept), {kKept});
}

double ratio(double error, double size) { return size > 0 ? std::sqrt(error / size) : 0; }

}  // namespace

Arrival residual_add(BoundaryMode mode, double sigma, double gamma, uint64_t seed) {
    const NoGrad inference;
    Generator generator{seed};
    const Tensor x = draw({kImages, kPatches, kDim}, sigma, generator);
    const Tensor branch = draw({kKept, kPatches, kDim}, 1, generator), index = some_images(generator);
    const Boundary boundary{.mode = mode, .site = "one residual add"};
    const Tensor y =
        scaled_index_add(x, index, branch, Tensor::full({kDim}, gamma), kAlpha, boundary).value();
    const bool strict = mode == BoundaryMode::strict;
    const std::vector<float> before = x.to_vector<float>(), after = y.to_vector<float>();
    const std::vector<float> r = branch.to_vector<float>();
    const std::vector<int64_t> rows = index.to_vector<int64_t>();
    const int64_t row = kPatches * kDim;
    Arrival out;
    double error = 0, size = 0;
    for (size_t i = 0; i < r.size(); ++i) {
        const size_t at = static_cast<size_t>(rows[i / size_t(row)] * row) + i % size_t(row);
        const double update = double(kAlpha) * gamma * double(r[i]),
                     came = double(after[at]) - double(before[at]);
        const float start = strict ? float(Half(before[at])) : before[at];
        out.swallowed += after[at] == start;
        error += (came - update) * (came - update);
        size += update * update;
        if (i % (r.size() / kShown) == 0) {
            out.sent.push_back(float(update));
            out.came.push_back(float(came));
        }
    }
    out.swallowed /= double(r.size());
    out.error = ratio(error, size);
    return out;
}

std::vector<double> residual_stream(BoundaryMode mode, int layers, uint64_t seed) {
    const NoGrad inference;
    Generator generator{seed};
    Tensor x = draw({kImages, kPatches, kDim}, 1, generator);
    const std::vector<float> start = x.to_vector<float>();
    std::vector<double> sum(start.size()), errors;
    const int64_t row = kPatches * kDim;
    for (int layer = 0; layer < layers; ++layer) {
        const Tensor branch = draw({kKept, kPatches, kDim}, 1, generator), index = some_images(generator);
        const Boundary boundary{.mode = mode, .site = "residual stream"};
        x = scaled_index_add(x, index, branch, Tensor::full({kDim}, kGamma), kAlpha, boundary).value();
        const std::vector<float> r = branch.to_vector<float>(), now = x.to_vector<float>();
        const std::vector<int64_t> rows = index.to_vector<int64_t>();
        for (size_t i = 0; i < r.size(); ++i)
            sum[size_t(rows[i / size_t(row)] * row) + i % size_t(row)] +=
                double(kAlpha) * kGamma * double(r[i]);
        double error = 0, size = 0;
        for (size_t i = 0; i < now.size(); ++i) {
            const double came = double(now[i]) - double(start[i]);
            error += (came - sum[i]) * (came - sum[i]);
            size += sum[i] * sum[i];
        }
        errors.push_back(ratio(error, size));
    }
    return errors;
}

Crossing gradient(GradScale scale, double sigma, uint64_t seed) {
    Generator generator{seed};
    constexpr int64_t kRows = 16, kColumns = 4096;
    const Variable x(Tensor::zeros({kRows, kColumns}), true);
    const Tensor g = draw({kRows * kColumns}, sigma, generator);
    const char* names[] = {"gradient", "gradient, automatic", "gradient, fixed"};
    index_select_cat({x}, {Tensor::arange(kRows)}, {.grad_scale = scale, .site = names[int(scale.kind)]})
        .backward(g);
    const std::vector<float> sent = g.to_vector<float>(), came = x.grad().to_vector<float>();
    Crossing out;
    double error = 0, size = 0;
    for (size_t i = 0; i < sent.size(); ++i) {
        out.zeroed += came[i] == 0 && sent[i] != 0;
        error += (double(came[i]) - double(sent[i])) * (double(came[i]) - double(sent[i]));
        size += double(sent[i]) * double(sent[i]);
    }
    out.zeroed /= double(sent.size());
    out.error = ratio(error, size);
    out.sent = sent;
    out.came = came;
    return out;
}

Outlier outlier(BoundaryMode mode, OverflowPolicy policy, uint64_t seed) {
    const NoGrad inference;
    Generator generator{seed};
    Tensor x = draw({1, kTokens, kWidth}, 1, generator);
    constexpr int kAt = 9 * kWidth + 21;
    x.mutable_data<float>()[kAt] = 70000;
    const Boundary boundary{.mode = mode, .overflow = policy, .site = "outlier"};
    Outlier out;
    const auto look = [&](const Tensor& t) {
        std::vector<int> kinds;
        for (const float v : t.to_vector<float>()) kinds.push_back(std::isnan(v) ? 2 : std::isinf(v) ? 1 : 0);
        out.kinds.push_back(kinds);
    };
    try {
        const Tensor branch = draw({1, kTokens, kWidth}, 1, generator);
        const Tensor y =
            scaled_index_add(x, Tensor::arange(1), branch, Tensor::full({kWidth}, 0.1), 1, boundary).value();
        const float value = y.to_vector<float>()[kAt];
        out.value = std::isinf(value) ? "infinity" : significant(double(value), 6);
        const Tensor h = layernorm(y).value();
        const Tensor heads = h.view({1, kTokens, 1, kWidth});
        AttentionOptions options;
        options.boundary.mode = mode;
        const Tensor mixed = memory_efficient_attention(heads, heads, heads, {}, options).value();
        for (const Tensor& t : {y, h, mixed}) look(t);
    } catch (const Error& error) {
        out.value = error.what();
    }
    return out;
}

Memory memory() {
    const NoGrad inference;
    Generator generator{1};
    const Tensor x = draw({kImages, kPatches, kDim}, 1, generator),
                 branch = draw({kKept, kPatches, kDim}, 1, generator);
    const Tensor index = some_images(generator);
    const auto peak = [&](bool explicit_casts) {
        const Boundary boundary{.explicit_casts = explicit_casts, .count = false};
        const int64_t before = allocator_stats().live_bytes;
        reset_peak();
        (void)scaled_index_add(x, index, branch, {}, kAlpha, boundary);
        return double(allocator_stats().peak_bytes - before) / double(x.numel() * 4);
    };
    return {peak(false), peak(true)};
}

}  // namespace demi::examples::study
