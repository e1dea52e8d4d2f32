#pragma once
// AdamW and SGD over named parameters. Each parameter's rate and decay are the step's, times its own
// multipliers (models/param_groups.h). Parameters without a gradient are left alone.
#include "models/param_groups.h"
#include "ops/optimizer/adamw.h"
#include "runtime/capture.h"

namespace demi {

enum class OptimizerKind { adamw, sgd };

struct OptimizerOptions {
    OptimizerKind kind = OptimizerKind::adamw;
    double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;  // adamw
    double momentum = 0.9;                          // sgd
    bool nesterov = false;
};

// Norms and factors of the gradients on their device, where nobody has waited for them.
struct GradFactors {
    Tensor values;                 // undefined, or what ops/grad_norm's grad_factors() gave
    std::vector<size_t> group_of;  // per parameter
};
// The factors of groups of so many consecutive parameters each: gradients times `multiplier`, clipped to
// `limit` (0: no limit).
GradFactors gradient_factors(const NamedParameters& parameters, const std::vector<size_t>& group_sizes,
                             const LiveNumber& multiplier, double limit);

struct StepRates {
    double lr = 0;
    double weight_decay = 0;
    double last_layer_lr = -1;                  // for parameters marked is_last_layer; below 0: lr
    std::vector<double> grad_multipliers = {};  // per parameter: 1 / loss scale, clipped; empty: 1
    GradFactors factors{};
};

class Optimizer {
  public:
    Optimizer(NamedParameters parameters, std::vector<ParameterOptions> options,
              OptimizerOptions settings = {});

    // Where rates.factors are not finite, nothing changes: the caller sees it later, and calls take_back().
    // In a captured step (runtime/captured_step.h) the factors must be on the device, too.
    void step(const StepRates& rates);
    // lr, weight_decay and last_layer_lr of the replays that follow; without it those of the captured step.
    void set_rates(const StepRates& rates) { rates_ = rates; }
    void take_back() { --steps_; }  // the last step was none
    void zero_grad();
    int64_t steps() const { return steps_; }
    const NamedParameters& parameters() const { return parameters_; }

    // Moments under "optimizer.exp_avg.<name>" (adamw: exp_avg_sq too; sgd: momentum), the step count in
    // metadata.
    void save(NamedTensors& tensors, Metadata& metadata) const;
    void load(const SafetensorsFile& file);

  private:
    StepNumbers numbers(size_t parameter, const StepRates& rates) const;

    StepRates rates_;
    NamedParameters parameters_;
    std::vector<ParameterOptions> options_;
    OptimizerOptions settings_;
    std::vector<Tensor> first_, second_;  // moments
    int64_t steps_ = 0;
};

// Gradient norm over all parameters (L2, of gradients times `multiplier`), and what clipping to `limit` makes
// of it.
struct GradNorm {
    double norm = 0;  // NaN or infinity when a gradient is
    bool finite = true;
    double clip_factor = 1;  // min(1, limit / (norm + 1e-6)); 1 without a limit
};
GradNorm gradient_norm(const NamedParameters& parameters, double multiplier, double limit);

}  // namespace demi
