#pragma once
// Loss scaling for f16, by PyTorch's rules (torch.amp.GradScaler): the loss is multiplied by `scale`,
// gradients are divided by it before the step; a step with an infinite or NaN gradient is skipped and halves
// the scale; after `growth_interval` good steps in a row the scale doubles. Beyond PyTorch: a floor and a
// cap.
#include <cstdint>

#include "autograd/variable.h"
#include "runtime/capture.h"
#include "runtime/safetensors.h"

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
    // What it is in each replay of a captured step; as inverse() elsewhere. The scaler must outlive the step.
    LiveNumber live_inverse() const {
        return LiveNumber([this] { return inverse(); });
    }
    // loss.backward(), times scale().
    void backward(const Variable& loss, BackwardOptions options = {}) const;
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
};

}  // namespace demi
