#include "examples/data/mix.h"

#include <algorithm>
#include <cmath>

#include "runtime/check.h"

namespace demi::data {
namespace {

// Beta(alpha, alpha) as a share of two Gamma(alpha) draws (Marsaglia and Tsang; below 1
// with a power of a uniform).
double gamma_draw(double alpha, KeyedRng& rng) {
    const auto uniform = [&] { return (static_cast<double>(rng.bits()) + 0.5) * 0x1p-32; };
    if (alpha < 1) {
        const double u = uniform();
        return gamma_draw(alpha + 1, rng) * std::pow(u, 1 / alpha);
    }
    const double d = alpha - 1.0 / 3;
    const double c = 1 / std::sqrt(9 * d);
    for (;;) {
        const double radius = std::sqrt(-2 * std::log(uniform()));
        const double x = radius * std::cos(6.283185307179586 * uniform());
        const double v = (1 + c * x) * (1 + c * x) * (1 + c * x);
        if (v <= 0) continue;
        if (std::log(uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
    }
}

double beta_draw(double alpha, KeyedRng& rng) {
    const double a = gamma_draw(alpha, rng);
    const double b = gamma_draw(alpha, rng);
    return a + b > 0 ? a / (a + b) : 0.5;
}

void blend(float* a, float* b, int64_t n, float keep) {
    for (int64_t i = 0; i < n; ++i) {
        const float x = a[i];
        const float y = b[i];
        a[i] = keep * x + (1 - keep) * y;
        b[i] = keep * y + (1 - keep) * x;
    }
}

}  // namespace

void check_options(const MixOptions& options) {
    check(options.mixup_alpha >= 0 && options.cutmix_alpha >= 0 && std::isfinite(options.mixup_alpha) &&
              std::isfinite(options.cutmix_alpha),
          "data", "mixup and cutmix alpha must be 0 or more, got ", options.mixup_alpha, " and ",
          options.cutmix_alpha);
    check(options.smoothing >= 0 && options.smoothing < 1, "data", "label smoothing must be in [0, 1), got ",
          options.smoothing);
}

void mix_batch(Batch& batch, int64_t classes, const MixOptions& options, KeyedRng& rng) {
    const int64_t count = batch.images.size(0);
    const int64_t channels = batch.images.size(1);
    const int64_t height = batch.images.size(2);
    const int64_t width = batch.images.size(3);
    const int64_t area = height * width;
    const bool cut = options.cutmix_alpha > 0 && (options.mixup_alpha <= 0 || rng.chance(0.5f));
    auto keep = static_cast<float>(
        beta_draw(static_cast<double>(cut ? options.cutmix_alpha : options.mixup_alpha), rng));
    int64_t top = 0, left = 0, rows = height, columns = width;
    if (cut) {
        const float side = std::sqrt(1 - keep);
        rows = static_cast<int64_t>(side * static_cast<float>(height));
        columns = static_cast<int64_t>(side * static_cast<float>(width));
        top = rng.below(height - rows + 1);
        left = rng.below(width - columns + 1);
        keep = 1 - static_cast<float>(rows * columns) / static_cast<float>(area);
    }
    auto* pixels = batch.images.mutable_data<float>();
    for (int64_t i = 0; i < count / 2; ++i) {
        float* a = pixels + i * channels * area;
        float* b = pixels + (count - 1 - i) * channels * area;
        if (!cut) {
            blend(a, b, channels * area, keep);
            continue;
        }
        for (int64_t c = 0; c < channels; ++c)
            for (int64_t y = top; y < top + rows; ++y) {
                const int64_t at = c * area + y * width + left;
                std::swap_ranges(a + at, a + at + columns, b + at);
            }
    }
    batch.targets = Tensor::zeros({count, classes});
    auto* targets = batch.targets.mutable_data<float>();
    const auto* labels = batch.labels.data<int64_t>();
    const float share = 1 - options.smoothing;
    for (int64_t i = 0; i < count; ++i) {
        float* row = targets + i * classes;
        std::fill(row, row + classes, options.smoothing / static_cast<float>(classes));
        row[labels[i]] += keep * share;
        row[labels[count - 1 - i]] += (1 - keep) * share;
    }
}

}  // namespace demi::data
