#include "models/rope_embed.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "runtime/capture.h"

namespace demi {
namespace {

std::vector<double> periods_of(const RopeConfig& c, int64_t head_size) {
    if (!c.periods.empty()) return c.periods;
    const auto n = static_cast<double>(head_size / 4);
    std::vector<double> periods;
    for (int64_t j = 0; j < head_size / 4; ++j) {
        const auto at = static_cast<double>(j);
        periods.push_back(c.min_period > 0
                              ? c.min_period * std::pow(c.max_period / c.min_period, n > 1 ? at / (n - 1) : 0)
                              : std::pow(c.base, at / n));
    }
    return periods;
}

// What training does to coordinates: c -> c * factor + offset.
struct Change {
    double offset_y = 0, offset_x = 0, factor_y = 1, factor_x = 1;
};

Change draw(const RopeConfig& c, Generator& g) {
    const auto within = [&](double bound) { return (2 * static_cast<double>(g.next_uniform()) - 1) * bound; };
    Change change;
    if (c.shift != 0) {
        change.offset_y = within(c.shift);
        change.offset_x = within(c.shift);
    }
    if (c.jitter != 0) {
        change.factor_y = std::exp(within(std::log(c.jitter)));
        change.factor_x = std::exp(within(std::log(c.jitter)));
    }
    if (c.rescale != 0) {
        const double both = std::exp(within(std::log(c.rescale)));
        change.factor_y *= both;
        change.factor_x *= both;
    }
    change.offset_y *= change.factor_y;  // the shift comes first
    change.offset_x *= change.factor_x;
    return change;
}

// cos and sin of the angles of one axis: [size, n] each.
void axis(int64_t size, int64_t divisor, double factor, double offset, const std::vector<double>& periods,
          std::vector<float>& cosines, std::vector<float>& sines) {
    for (int64_t i = 0; i < size; ++i) {
        const double at = 2 * (static_cast<double>(i) + 0.5) / static_cast<double>(divisor) - 1;
        for (const double period : periods) {
            const double angle = 2 * std::numbers::pi * (at * factor + offset) / period;
            cosines.push_back(static_cast<float>(std::cos(angle)));
            sines.push_back(static_cast<float>(std::sin(angle)));
        }
    }
}

void fill_table(const RopeConfig& c, int64_t head_size, int64_t height, int64_t width, const Change& change,
                float* out) {
    const std::vector<double> periods = periods_of(c, head_size);
    const int64_t most = std::max(height, width), least = std::min(height, width);
    const auto divisor = [&](int64_t own) {
        return c.coordinates == "max" ? most : c.coordinates == "min" ? least : own;
    };
    std::vector<float> y[2], x[2];
    axis(height, divisor(height), change.factor_y, change.offset_y, periods, y[0], y[1]);
    axis(width, divisor(width), change.factor_x, change.offset_x, periods, x[0], x[1]);
    const auto n = static_cast<int64_t>(periods.size());
    for (int part = 0; part < 2; ++part)
        for (int64_t i = 0; i < height; ++i)
            for (int64_t j = 0; j < width; ++j) {
                out = std::copy_n(y[part].begin() + i * n, n, out);
                out = std::copy_n(x[part].begin() + j * n, n, out);
            }
}

}  // namespace

void check_rope(const RopeConfig& c, int64_t head_size) {
    check(head_size >= 4 && head_size % 4 == 0, "rope_embed", "the head size must be a multiple of 4: got ",
          head_size);
    const bool range = c.min_period != 0 || c.max_period != 0;
    check(range ? c.min_period > 0 && c.max_period > 0 && std::isfinite(c.max_period / c.min_period)
                : c.base > 0 && std::isfinite(c.base),
          "rope_embed", "needs a base, or min_period and max_period, above 0: got ", c.base, ", ",
          c.min_period, " and ", c.max_period);
    check(c.coordinates == "separate" || c.coordinates == "max" || c.coordinates == "min", "rope_embed",
          "coordinates must be separate, max or min: got '", c.coordinates, "'");
    check(c.shift >= 0 && std::isfinite(c.shift), "rope_embed", "shift must be at least 0: got ", c.shift);
    for (const double x : {c.jitter, c.rescale})
        check(x == 0 || (x >= 1 && std::isfinite(x)), "rope_embed",
              "jitter and rescale must be 0 (off) or at least 1: got ", c.jitter, " and ", c.rescale);
    check(c.periods.empty() || static_cast<int64_t>(c.periods.size()) == head_size / 4, "rope_embed",
          "needs head size / 4 = ", head_size / 4, " periods: got ", c.periods.size());
    for (const double period : c.periods)
        check(period > 0 && std::isfinite(period), "rope_embed", "periods must be above 0: got ", period);
}

Tensor rope_table(const RopeConfig& config, int64_t head_size, int64_t height, int64_t width,
                  const ForwardContext& context, Device device) {
    check_rope(config, head_size);
    check(height >= 0 && width >= 0, "rope_embed", "needs a grid: got ", height, " x ", width);
    const Shape shape{2, checked_mul(height, width, "rope_embed"), head_size / 2};
    Generator* generator = nullptr;
    if (context.training && config.draws()) {
        check(context.generator != nullptr, "rope_embed", "draws in training need ForwardContext::generator");
        generator = context.generator;
    }
    const auto fill = [config, head_size, height, width, generator](void* out) {
        const Change change = generator != nullptr ? draw(config, *generator) : Change();
        fill_table(config, head_size, height, width, change, static_cast<float*>(out));
    };
    if (capturing(device) && generator != nullptr && shape.numel() > 0)
        return live_tensor(shape, DType::f32, device, fill);
    Tensor table = Tensor::empty(shape);
    if (table.numel() > 0) fill(table.mutable_data<float>());
    if (capturing(device))
        return constant_bytes(device, table.raw(), static_cast<size_t>(table.numel()) * sizeof(float))
            .bytes_as(DType::f32, shape);
    return table.to(device);
}

}  // namespace demi
