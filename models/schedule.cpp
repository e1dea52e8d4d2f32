#include "models/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "runtime/check.h"

namespace demi {

double CosineSchedule::at(int64_t step) const {
    check(step >= 0, "schedule", "step must not be negative: got ", step);
    constexpr int64_t kMost = INT64_MAX / 4;
    check(freeze >= 0 && warmup >= 0 && total >= 0 && freeze <= kMost && warmup <= kMost, "schedule",
          "freeze, warmup and total must not be negative: got ", freeze, ", ", warmup, ", ", total);
    if (step < freeze) return 0;
    if (step >= total) return final;
    if (step < freeze + warmup) {
        if (warmup == 1) return start;
        return start + (base - start) * static_cast<double>(step - freeze) / static_cast<double>(warmup - 1);
    }
    const int64_t length = std::max<int64_t>(total - warmup - freeze, 1);
    const double progress = static_cast<double>(step - warmup - freeze) / static_cast<double>(length);
    return final + 0.5 * (base - final) * (1 + std::cos(std::numbers::pi * progress));
}

double LinearSchedule::at(int64_t step) const {
    check(step >= 0, "schedule", "step must not be negative: got ", step);
    if (step >= steps) return to;
    if (steps == 1) return from;
    return from + (to - from) * static_cast<double>(step) / static_cast<double>(steps - 1);
}

}  // namespace demi
