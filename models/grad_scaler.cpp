#include "models/grad_scaler.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "models/state.h"

namespace demi {

GradScaler::GradScaler(GradScalerOptions options)
    : options_(options), scale_(static_cast<float>(options.init_scale)) {
    check(options.init_scale > 0 && options.growth_factor >= 1 && options.backoff_factor > 0 &&
              options.backoff_factor < 1 && options.growth_interval >= 1 &&
              options.floor >= double{FLT_MIN} && options.floor <= options.cap &&
              options.cap <= double{FLT_MAX},
          "grad_scaler",
          "needs init_scale > 0, growth_factor >= 1, 0 < backoff_factor < 1, growth_interval >= 1, floor <= "
          "cap");
    scale_ = std::clamp(scale_, static_cast<float>(options.floor), static_cast<float>(options.cap));
}

void GradScaler::backward(const Variable& loss, BackwardOptions options) {
    check(loss.defined() && loss.numel() == 1, "grad_scaler", "needs a loss with one element: got ",
          loss.value());
    const Shape shape = loss.shape();
    const DType dtype = loss.dtype();
    settle();
    options.grad_scale = scale();
    if (!capturing(loss.device()))
        return loss.backward(Tensor::full(shape, scale(), dtype, loss.device()), options);
    const Tensor now = live_tensor(shape, dtype, loss.device(), [this, shape, dtype](void* host) {
        settle();
        std::memcpy(host, Tensor::full(shape, scale(), dtype).raw(), size_of(dtype));
    });
    loss.backward(now.clone(), options);
}

// The one scale of all gradients.
static double scale_of(const NamedParameters& parameters) {
    double scale = 0;
    for (const auto& [name, p] : parameters) {
        if (!p.requires_grad() || !p.grad().defined()) continue;
        check(scale == 0 || p.grad_scale() == scale, "grad_scaler", "needs gradients of one scale: got ",
              scale, " and ", p.grad_scale(), " at '", name, "'");
        scale = p.grad_scale();
    }
    return scale == 0 ? 1 : scale;
}

bool GradScaler::step(Optimizer& optimizer, const StepRates& rates) {
    check(!rates.factors.values.defined() && rates.grad_multipliers.empty(), "grad_scaler",
          "unscales itself: StepRates::factors and grad_multipliers are not for it");
    settle();
    const NamedParameters& all = optimizer.parameters();
    const double scaled = scale_of(all);
    StepRates factored = rates;
    factored.clip_grad = 0;
    factored.factors = gradient_factors(
        all, rates.clip_groups, scaled == scale() ? live_inverse() : LiveNumber(1 / scaled), rates.clip_grad);
    optimizer.step(factored);
    stepped_ = &optimizer;
    if (!capturing()) return settle();
    before_replay(all[0].second.device(), [this, &optimizer] { stepped_ = &optimizer; });
    return true;
}

bool GradScaler::settle() {
    if (stepped_ == nullptr) return taken_;
    Optimizer& optimizer = *std::exchange(stepped_, nullptr);
    taken_ = optimizer.outcome().taken;
    if (!taken_) optimizer.take_back();
    update(!taken_);
    return taken_;
}

bool GradScaler::update(bool found_inf) {
    if (found_inf) {
        ++skipped_;
        ++skipped_in_a_row_;
    } else {
        skipped_in_a_row_ = 0;
    }
    if (!options_.enabled) return found_inf;
    if (found_inf) {
        scale_ = std::max(scale_ * static_cast<float>(options_.backoff_factor),
                          static_cast<float>(options_.floor));
        good_steps_ = 0;
    } else if (++good_steps_ == options_.growth_interval) {
        scale_ =
            std::min(scale_ * static_cast<float>(options_.growth_factor), static_cast<float>(options_.cap));
        good_steps_ = 0;
    }
    return found_inf;
}

Metadata GradScaler::state() const {
    return {{"scaler.scale", exact_text(scale_)},
            {"scaler.good_steps", std::to_string(good_steps_)},
            {"scaler.skipped", std::to_string(skipped_)},
            {"scaler.skipped_in_a_row", std::to_string(skipped_in_a_row_)}};
}

void GradScaler::load(const Metadata& state) {
    const double scale = state_double(state, "scaler.scale");
    check(std::isfinite(scale) && scale > 0, "grad_scaler", "saved scale must be positive: got ", scale);
    scale_ = static_cast<float>(scale);
    good_steps_ = state_int(state, "scaler.good_steps");
    skipped_ = state_int(state, "scaler.skipped");
    skipped_in_a_row_ = state_int(state, "scaler.skipped_in_a_row");
    stepped_ = nullptr;
}

}  // namespace demi
