#pragma once
// Learning-rate, weight-decay, momentum and temperature schedules: a value per step,
// computed from the step alone.
#include <cstdint>

namespace demi {

// DINOv2's cosine schedule: `freeze` steps of 0, `warmup` steps rising linearly from `start`, then a half
// cosine from `base` to `final` at `total`; `final` afterwards. numpy.linspace conventions: the last warm-up
// step reaches base.
struct CosineSchedule {
    double base = 1;
    double final = 0;
    int64_t total = 1;
    int64_t warmup = 0;
    double start = 0;
    int64_t freeze = 0;

    double at(int64_t step) const;
};

// Linear from `from` to `to` over `steps`, then `to`.
struct LinearSchedule {
    double from = 0, to = 0;
    int64_t steps = 0;

    double at(int64_t step) const;
};

}  // namespace demi
