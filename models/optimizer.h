#pragma once
// AdamW and SGD over named parameters. Each parameter's rate and decay are the step's, times its own
// multipliers (models/param_groups.h). A parameter without a gradient is left alone, and so is a frozen one.
// Moments follow their parameter to another device at the next step.
#include <limits>

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

// Norms and factors of the gradients, on their device: nothing has waited for them.
struct GradFactors {
    Tensor values;                 // undefined, or what ops/grad_norm's grad_factors() gave
    std::vector<size_t> group_of;  // per parameter
};
// The factors of groups of so many consecutive parameters each (empty: one group): gradients times
// `multiplier`, clipped to `limit` (0: no limit).
GradFactors gradient_factors(const NamedParameters& parameters, const std::vector<size_t>& group_sizes,
                             const LiveNumber& multiplier, double limit);

struct StepRates {
    double lr = std::numeric_limits<double>::quiet_NaN();  // has to be given; 0 moves nothing
    double weight_decay = 0;
    double last_layer_lr = -1;                  // for parameters marked is_last_layer; below 0: lr
    std::vector<double> grad_multipliers = {};  // per parameter: 1 / loss scale, clipped; empty: 1
    GradFactors factors{};                      // instead of the multipliers, decided on the device
    bool may_be_empty = false;                  // no gradient is no Error: a rank of a job may have none
    double clip_grad = 0;                       // largest norm of the gradients; 0: no limit
    // Groups of so many consecutive parameters, each clipped by its own norm; empty: all together.
    std::vector<size_t> clip_groups = {};
    double backbone_lr = -1;  // for parameters marked is_backbone; below 0: lr
};

struct StepOutcome {
    bool taken = true;  // false: a gradient was infinite or NaN, and nothing changed
    double norm = 0;    // of all gradients, unscaled and before clipping
};

// Of a step with these norms and factors (GradFactors::values), read back.
StepOutcome outcome_of(std::span<const double> values);

class Optimizer {
  public:
    Optimizer(NamedParameters parameters, std::vector<ParameterOptions> options,
              OptimizerOptions settings = {});

    // Throws Error and changes nothing where lr was not given, no parameter has a gradient, or gradients are
    // still times a loss scale (GradScaler::step() unscales; factors or multipliers may). With clip_grad also
    // where the norm is not finite. Where rates.factors are not finite, or clip_grad's norm in a captured
    // step (runtime/captured_step.h), nothing changes: the caller sees it later, and calls take_back().
    void step(const StepRates& rates);
    // lr, weight_decay, last_layer_lr and backbone_lr of the replays that follow; without it those of the captured step.
    void set_rates(const StepRates& rates);
    void take_back() { --steps_; }  // the last step was none
    // Of the last step with factors or clip_grad; waits for the device.
    StepOutcome outcome() const;
    void zero_grad();
    int64_t steps() const { return steps_; }
    const NamedParameters& parameters() const { return parameters_; }

    // Moments under "optimizer.exp_avg.<name>" (adamw: exp_avg_sq too; sgd: momentum), the step count in
    // metadata. A parameter that was always frozen has none.
    std::vector<std::string> moment_names() const;  // what stands before the parameters' names
    void save(NamedTensors& tensors, Metadata& metadata) const;
    void load(const SafetensorsFile& file);
    // The same from elsewhere: `tensor_of` gives an undefined Tensor for a name that is not there;
    // `source` is named in Errors.
    void load(const Metadata& metadata, const std::function<Tensor(const std::string&)>& tensor_of,
              const std::string& source);

  private:
    // What belongs to a parameter. One that is thawed later counts its steps from there.
    struct State {
        Tensor first, second;  // moments; undefined where it was always frozen
        int64_t start = 0;     // steps before its first
        bool used = false;
    };
    void make_moments(size_t parameter, State& state) const;
    void prepare(size_t parameter, const Tensor& grad);
    StepNumbers numbers(size_t parameter, const StepRates& rates) const;

    StepRates rates_;
    NamedParameters parameters_;
    std::vector<ParameterOptions> options_;
    OptimizerOptions settings_;
    std::vector<State> states_;
    GradFactors factors_;  // of the last step
    int64_t steps_ = 0;
};

// Gradient norm over all parameters (L2, of gradients times `multiplier`), and what
// clipping to `limit` makes of it.
struct GradNorm {
    double norm = 0;  // NaN or infinity when a gradient is
    bool finite = true;
    double clip_factor = 1;  // min(1, limit / (norm + 1e-6)); 1 without a limit
};
GradNorm gradient_norm(const NamedParameters& parameters, double multiplier, double limit);

}  // namespace demi
