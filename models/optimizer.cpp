#include "models/optimizer.h"

#include <cmath>

#include "models/state.h"
#include "ops/optimizer/grad_norm.h"
#include "ops/optimizer/sgd.h"
#include "runtime/copy.h"

namespace demi {

// Of a parameter that learns; undefined for a frozen one, whatever it collected before.
static Tensor gradient_of(const Variable& p) { return p.requires_grad() ? p.grad() : Tensor(); }

Optimizer::Optimizer(NamedParameters parameters, std::vector<ParameterOptions> options,
                     OptimizerOptions settings)
    : parameters_(std::move(parameters)), options_(std::move(options)), settings_(settings),
      states_(parameters_.size()) {
    check(options_.size() == parameters_.size(), "optimizer", "needs options for each parameter: got ",
          options_.size(), " for ", parameters_.size());
    for (size_t i = 0; i < parameters_.size(); ++i) {
        const auto& [name, p] = parameters_[i];
        check(p.node() != nullptr && p.is_leaf(), "optimizer", "'", name,
              "' is not a parameter: it needs no gradient");
        for (double multiplier : {options_[i].lr_multiplier, options_[i].wd_multiplier})
            check(multiplier >= 0 && std::isfinite(multiplier), "optimizer", "'", name,
                  "': multipliers must be finite, not negative: got ", multiplier);
        if (p.requires_grad()) make_moments(i, states_[i]);
    }
}

void Optimizer::make_moments(size_t parameter, State& state) const {
    const Variable& p = parameters_[parameter].second;
    const DType dtype = p.dtype() == DType::f64 ? DType::f64 : DType::f32;
    state.first = Tensor::zeros(p.shape(), dtype, p.device());
    if (settings_.kind == OptimizerKind::adamw) state.second = Tensor::zeros(p.shape(), dtype, p.device());
}

// Moments where the parameter is, if it takes part in this step.
void Optimizer::prepare(size_t parameter, const Tensor& grad) {
    State& state = states_[parameter];
    const auto& [name, p] = parameters_[parameter];
    if (!p.requires_grad() && !state.used) state.first = state.second = Tensor();
    if (!grad.defined()) return;
    if (!state.first.defined()) {
        check(!capturing(), "optimizer", "'", name,
              "' was frozen so far: it must take a step before one is captured");
        make_moments(parameter, state);
        state.start = steps_;
    }
    state.used = true;
    for (Tensor* moment : {&state.first, &state.second})
        if (moment->defined()) *moment = moment->to(p.device());
}

void Optimizer::zero_grad() { demi::zero_grad(parameters_); }

StepNumbers Optimizer::numbers(size_t parameter, const StepRates& rates) const {
    const ParameterOptions& o = options_[parameter];
    const double lr = o.is_last_layer && rates.last_layer_lr >= 0 ? rates.last_layer_lr
                      : o.is_backbone && rates.backbone_lr >= 0   ? rates.backbone_lr
                                                                  : rates.lr;
    return {lr * o.lr_multiplier, rates.weight_decay * o.wd_multiplier, steps_ - states_[parameter].start};
}

static void check_rates(const StepRates& rates) {
    const auto finite = [](double x) { return std::isfinite(x); };
    check(!std::isnan(rates.lr), "optimizer", "StepRates::lr has to be given");
    check(rates.lr >= 0 && finite(rates.lr) && rates.weight_decay >= 0 && finite(rates.weight_decay) &&
              finite(rates.last_layer_lr) && finite(rates.backbone_lr),
          "optimizer", "lr and weight_decay must be finite and not negative: got ", rates.lr, " (last layer ",
          rates.last_layer_lr, ", backbone ", rates.backbone_lr, ") and ", rates.weight_decay);
}

void Optimizer::set_rates(const StepRates& rates) {
    check_rates(rates);
    rates_ = rates;
}

void Optimizer::step(const StepRates& rates) {
    check_rates(rates);
    const std::vector<double>& scales = rates.grad_multipliers;
    check(scales.empty() || scales.size() == parameters_.size(), "optimizer",
          "needs no gradient multipliers or one per parameter: got ", scales.size(), " for ",
          parameters_.size());
    const bool captured = capturing(), clips = rates.clip_grad != 0;
    GradFactors factors = rates.factors;
    const bool multiplied = factors.values.defined() || !scales.empty();
    check(!clips || !multiplied, "optimizer",
          "takes clip_grad, or factors or multipliers that clip: got both");

    std::vector<Tensor> grads;
    bool any = false;
    for (const auto& [name, p] : parameters_) {
        grads.push_back(gradient_of(p));
        any = any || grads.back().defined();
        check(multiplied || !grads.back().defined() || p.grad_scale() == 1, "optimizer", "the gradient of '",
              name, "' is still times the loss scale ", p.grad_scale(),
              ": say scaler.step(optimizer, rates)");
    }
    check(any || rates.may_be_empty, "optimizer",
          "no parameter has a gradient: was backward() called on a loss of these ", parameters_.size(),
          " parameters, and are they not frozen?");
    if (clips) factors = gradient_factors(parameters_, rates.clip_groups, 1, rates.clip_grad);
    check(!factors.values.defined() || factors.group_of.size() == parameters_.size(), "optimizer",
          "needs the group of each parameter: got ", factors.group_of.size(), " for ", parameters_.size());
    const bool looks = clips && !captured;
    check(
        !looks || std::isfinite(factors.values.select(0, 1).select(0, 0).item()), "optimizer",
        "the norm of the gradients is not finite: DEMI_DETECT_ANOMALY=1 names the operation that made it so");
    for (size_t i = 0; i < parameters_.size(); ++i) prepare(i, grads[i]);
    factors_ = factors;
    ++steps_;
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
        const auto& [first, second, start, used] = states_[i];
        if (settings_.kind == OptimizerKind::adamw)
            adamw_tensors.push_back(
                {p.value(), grads[i], first, second, n.lr, n.weight_decay, n.step, factor, again});
        else
            sgd_tensors.push_back({p.value(), grads[i], first, n.lr, n.weight_decay, factor, again});
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

StepOutcome Optimizer::outcome() const {
    check(factors_.values.defined(), "optimizer",
          "the last step looked at no norm: it had neither clip_grad nor factors");
    return outcome_of(factors_.values.to_vector<double>());
}

StepOutcome outcome_of(std::span<const double> values) {
    const size_t groups = values.size() / 2;
    check(groups >= 1 && values.size() == 2 * groups, "optimizer",
          "needs a norm and a factor for each group: got ", values.size(), " numbers");
    StepOutcome result;
    for (size_t i = 0; i < groups; ++i) result.norm += values[i] * values[i];
    result.norm = std::sqrt(result.norm);
    result.taken = std::isfinite(values[groups]);
    return result;
}

static std::string first_name(const OptimizerOptions& settings) {
    return settings.kind == OptimizerKind::adamw ? "optimizer.exp_avg." : "optimizer.momentum.";
}

std::vector<std::string> Optimizer::moment_names() const {
    if (settings_.kind == OptimizerKind::sgd) return {first_name(settings_)};
    return {first_name(settings_), "optimizer.exp_avg_sq."};
}

void Optimizer::save(NamedTensors& tensors, Metadata& metadata) const {
    for (size_t i = 0; i < parameters_.size(); ++i) {
        const auto& [first, second, start, used] = states_[i];
        const std::string& name = parameters_[i].first;
        if (first.defined()) tensors.emplace_back(first_name(settings_) + name, first);
        if (second.defined()) tensors.emplace_back("optimizer.exp_avg_sq." + name, second);
        if (start > 0) metadata["optimizer.start." + name] = std::to_string(start);
    }
    metadata["optimizer.steps"] = std::to_string(steps_);
}

void Optimizer::load(const SafetensorsFile& file) {
    load(
        file.metadata(),
        [&](const std::string& name) { return file.contains(name) ? file.load(name) : Tensor(); },
        file.path());
}

void Optimizer::load(const Metadata& metadata, const std::function<Tensor(const std::string&)>& tensor_of,
                     const std::string& source) {
    const int64_t steps = state_int(metadata, "optimizer.steps");
    check(steps >= 0, "optimizer", "'", source, "': steps must not be negative: got ", steps);
    std::vector<std::pair<Tensor, Tensor>> copies;
    const auto read = [&](const std::string& name, const Tensor& into, const Tensor& tensor) {
        check(tensor.defined() && tensor.shape() == into.shape() && tensor.dtype() == into.dtype(),
              "optimizer", "'", source, "': ", name, " must be ", into, ": got ", tensor);
        copies.emplace_back(into, tensor);
    };
    // The moments stay in their memory: a captured step knows its address.
    std::vector<State> states = states_;
    for (size_t i = 0; i < parameters_.size(); ++i) {
        const std::string& name = parameters_[i].first;
        State& state = states[i];
        const Tensor first = tensor_of(first_name(settings_) + name);
        state.used = first.defined();
        if (!state.used && !parameters_[i].second.requires_grad()) {
            state = {};
            continue;
        }
        if (!state.first.defined()) make_moments(i, state);
        read(first_name(settings_) + name, state.first, first);
        const std::string second = "optimizer.exp_avg_sq." + name;
        if (state.second.defined()) read(second, state.second, tensor_of(second));
        const std::string key = "optimizer.start." + name;
        state.start = metadata.count(key) > 0 ? state_int(metadata, key) : 0;
    }
    states_ = std::move(states);
    for (const auto& [to, from] : copies) copy(to, from);
    steps_ = steps;
}

GradFactors gradient_factors(const NamedParameters& parameters, const std::vector<size_t>& group_sizes,
                             const LiveNumber& multiplier, double limit) {
    check(!parameters.empty(), "gradient_factors", "there are no parameters");
    std::vector<std::vector<Tensor>> groups;
    GradFactors result;
    auto at = parameters.begin();
    for (size_t size : group_sizes.empty() ? std::vector{parameters.size()} : group_sizes) {
        groups.emplace_back();
        for (size_t i = 0; i < size; ++i, ++at) {
            check(at != parameters.end(), "gradient_factors", "groups hold more than the ", parameters.size(),
                  " parameters");
            groups.back().push_back(gradient_of(at->second));
            result.group_of.push_back(groups.size() - 1);
        }
    }
    result.values = grad_factors(groups, multiplier, limit, parameters[0].second.device());
    return result;
}

GradNorm gradient_norm(const NamedParameters& parameters, double multiplier, double limit) {
    std::vector<Tensor> grads;
    for (const auto& [name, p] : parameters) grads.push_back(gradient_of(p));
    GradNorm result;
    result.norm = grad_norm(grads) * multiplier;
    result.finite = std::isfinite(result.norm);
    result.clip_factor = limit > 0 ? clip_factor(result.norm, limit) : 1;
    return result;
}

}  // namespace demi
