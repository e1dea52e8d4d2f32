#include "models/optimizer.h"

#include <cmath>

#include "models/state.h"
#include "ops/optimizer/grad_norm.h"
#include "ops/optimizer/sgd.h"
#include "runtime/copy.h"

namespace demi {

Optimizer::Optimizer(NamedParameters parameters, std::vector<ParameterOptions> options,
                     OptimizerOptions settings)
    : parameters_(std::move(parameters)), options_(std::move(options)), settings_(settings) {
    check(options_.size() == parameters_.size(), "optimizer", "needs options for each parameter: got ",
          options_.size(), " for ", parameters_.size());
    for (const auto& [name, p] : parameters_) {
        check(p.is_leaf() && p.requires_grad(), "optimizer", "'", name,
              "' is not a parameter: it needs no gradient");
        const DType dtype = p.dtype() == DType::f64 ? DType::f64 : DType::f32;
        first_.push_back(Tensor::zeros(p.shape(), dtype, p.device()));
        second_.push_back(settings_.kind == OptimizerKind::adamw ? Tensor::zeros(p.shape(), dtype, p.device())
                                                                 : Tensor());
    }
}

void Optimizer::zero_grad() { demi::zero_grad(parameters_); }

StepNumbers Optimizer::numbers(size_t parameter, const StepRates& rates) const {
    const ParameterOptions& o = options_[parameter];
    const double lr = o.is_last_layer && rates.last_layer_lr >= 0 ? rates.last_layer_lr : rates.lr;
    return {lr * o.lr_multiplier, rates.weight_decay * o.wd_multiplier, steps_};
}

void Optimizer::step(const StepRates& rates) {
    const std::vector<double>& scales = rates.grad_multipliers;
    check(scales.empty() || scales.size() == parameters_.size(), "optimizer",
          "needs no gradient multipliers or one per parameter: got ", scales.size(), " for ",
          parameters_.size());
    const GradFactors& factors = rates.factors;
    check(!factors.values.defined() || factors.group_of.size() == parameters_.size(), "optimizer",
          "needs the group of each parameter: got ", factors.group_of.size(), " for ", parameters_.size());
    ++steps_;
    const bool captured = capturing();
    if (captured) {
        check(scales.empty(), "optimizer", "a captured step takes StepRates::factors, no grad_multipliers");
        rates_ = rates;
        before_replay(parameters_[0].second.device(), [this] { ++steps_; });
    }
    std::vector<AdamwTensor> adamw_tensors;
    std::vector<SgdTensor> sgd_tensors;
    settings_.kind == OptimizerKind::adamw ? adamw_tensors.reserve(parameters_.size())
                                           : sgd_tensors.reserve(parameters_.size());
    for (size_t i = 0; i < parameters_.size(); ++i) {
        const Variable& p = parameters_[i].second;
        const StepNumbers n = numbers(i, rates);
        std::function<StepNumbers()> again;
        if (captured) again = [this, i] { return numbers(i, rates_); };
        Tensor factor;
        if (factors.values.defined())
            factor = factors.values.select(0, 1).select(0, static_cast<int64_t>(factors.group_of[i]));
        if (settings_.kind == OptimizerKind::adamw)
            adamw_tensors.push_back(
                {p.value(), p.grad(), first_[i], second_[i], n.lr, n.weight_decay, n.step, factor, again});
        else
            sgd_tensors.push_back({p.value(), p.grad(), first_[i], n.lr, n.weight_decay, factor, again});
        // one call for neighbours whose gradients have the same multiplier
        const double scale = scales.empty() ? 1 : scales[i];
        if (i + 1 < parameters_.size() && (scales.empty() || scales[i + 1] == scale)) continue;
        if (settings_.kind == OptimizerKind::adamw)
            adamw(adamw_tensors, {settings_.beta1, settings_.beta2, settings_.eps, scale});
        else
            sgd(sgd_tensors, {settings_.momentum, settings_.nesterov, scale});
        adamw_tensors.clear();
        sgd_tensors.clear();
    }
}

static std::string first_name(const OptimizerOptions& settings) {
    return settings.kind == OptimizerKind::adamw ? "optimizer.exp_avg." : "optimizer.momentum.";
}

void Optimizer::save(NamedTensors& tensors, Metadata& metadata) const {
    for (size_t i = 0; i < parameters_.size(); ++i) {
        tensors.emplace_back(first_name(settings_) + parameters_[i].first, first_[i]);
        if (second_[i].defined())
            tensors.emplace_back("optimizer.exp_avg_sq." + parameters_[i].first, second_[i]);
    }
    metadata["optimizer.steps"] = std::to_string(steps_);
}

void Optimizer::load(const SafetensorsFile& file) {
    const int64_t steps = state_int(file.metadata(), "optimizer.steps");
    const auto read = [&](const std::string& name, const Tensor& into) {
        const Tensor tensor = file.load(name);
        check(tensor.shape() == into.shape() && tensor.dtype() == into.dtype(), "optimizer", "'", file.path(),
              "': ", name, " must be ", describe(into), ": got ", describe(tensor));
        return tensor;
    };
    std::vector<std::pair<Tensor, Tensor>> copies;
    for (size_t i = 0; i < parameters_.size(); ++i) {
        copies.emplace_back(first_[i], read(first_name(settings_) + parameters_[i].first, first_[i]));
        if (second_[i].defined())
            copies.emplace_back(second_[i], read("optimizer.exp_avg_sq." + parameters_[i].first, second_[i]));
    }
    for (const auto& [to, from] : copies) copy(to, from);
    steps_ = steps;
}

GradFactors gradient_factors(const NamedParameters& parameters, const std::vector<size_t>& group_sizes,
                             const LiveNumber& multiplier, double limit) {
    std::vector<std::vector<Tensor>> groups;
    GradFactors result;
    auto at = parameters.begin();
    for (size_t size : group_sizes) {
        groups.emplace_back();
        for (size_t i = 0; i < size; ++i, ++at) {
            check(at != parameters.end(), "gradient_factors", "groups hold more than the ", parameters.size(),
                  " parameters");
            groups.back().push_back(at->second.grad());
            result.group_of.push_back(groups.size() - 1);
        }
    }
    check(!parameters.empty(), "gradient_factors", "there are no parameters");
    result.values = grad_factors(groups, multiplier, limit, parameters[0].second.device());
    return result;
}

GradNorm gradient_norm(const NamedParameters& parameters, double multiplier, double limit) {
    std::vector<Tensor> grads;
    for (const auto& [name, p] : parameters) grads.push_back(p.grad());
    GradNorm result;
    result.norm = grad_norm(grads) * multiplier;
    result.finite = std::isfinite(result.norm);
    result.clip_factor = limit > 0 ? clip_factor(result.norm, limit) : 1;
    return result;
}

}  // namespace demi
