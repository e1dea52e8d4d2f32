#pragma once
// Loss scaling for f16, by PyTorch's rules (torch.amp.GradScaler), with a floor and a cap:
//
//   GradScaler scaler;                       // once
//   scaler.backward(loss);                   // loss.backward(), times the scale
//   scaler.step(optimizer, {.lr = 1e-3});    // unscales, clips, steps or skips, adapts the scale
//   optimizer.zero_grad();
//
// A step with an infinite or NaN gradient is skipped and halves the scale; after `growth_interval` good steps
// in a row it doubles. Leaves remember the scale of their gradient: optimizer.step() refuses scaled ones.
#include "models/optimizer.h"

namespace demi {

struct GradScalerOptions {
    bool enabled = true;
    double init_scale = 65536;
    double growth_factor = 2;
    double backoff_factor = 0.5;
    int64_t growth_interval = 2000;
    double floor = 1;
    double cap = 16777216;  // 2^24
};

class GradScaler {
  public:
    explicit GradScaler(GradScalerOptions options = {});

    double scale() const { return options_.enabled ? static_cast<double>(scale_) : 1; }
    double inverse() const { return 1 / scale(); }
    // loss.backward(), times scale().
    void backward(const Variable& loss, BackwardOptions options = {});
    // optimizer.step() on the gradients divided by their scale, clipped by rates.clip_grad; no step where one
    // of them is infinite or NaN. Then the scale adapts. True when the step was taken; optimizer.outcome()
    // has the norm. In a captured step (runtime/captured_step.h) it is true before anything is known: settle().
    bool step(Optimizer& optimizer, const StepRates& rates);
    // Whether the last step was taken. After a captured step this is what adapts the scale, before anything
    // else is asked or saved; the next step does it, too.
    bool settle();

    // The same by hand: gradients times live_inverse() (gradient_factors()), the step, then update().
    // live_inverse() is inverse() at every replay of a captured step, which the scaler must outlive.
    LiveNumber live_inverse() const {
        return LiveNumber([this] { return inverse(); });
    }
    // After the gradients were looked at: true when the step must be skipped.
    bool update(bool found_inf);

    int64_t skipped() const { return skipped_; }
    int64_t skipped_in_a_row() const { return skipped_in_a_row_; }
    bool enabled() const { return options_.enabled; }

    Metadata state() const;
    void load(const Metadata& state);  // throws Error when an entry is missing or no number

  private:
    GradScalerOptions options_;
    float scale_;
    int64_t good_steps_ = 0;
    int64_t skipped_ = 0;
    int64_t skipped_in_a_row_ = 0;
    Optimizer* stepped_ = nullptr;  // whose step settle() has not looked at
    bool taken_ = true;
};

}  // namespace demi
