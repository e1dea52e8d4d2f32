#include "ops/boundary/boundary.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "ops/boundary/crossing.h"

namespace demi {

// In the order of BoundaryMode.
static constexpr BoundaryRule kRules[] = {
    // name     operands accumulators result gradients
    {"strict", true, true, true, true},
    {"wide", true, false, false, false},
    {"off", false, false, false, false},
};

const BoundaryRule& rule_of(BoundaryMode mode) {
    const auto i = static_cast<size_t>(mode);
    check(i < std::size(kRules), "boundary", "the mode is strict, wide or off: got number ", i);
    return kRules[i];
}

BoundaryMode parse_boundary_mode(std::string_view text) {
    for (size_t i = 0; i < std::size(kRules); ++i)
        if (text == kRules[i].name) return static_cast<BoundaryMode>(i);
    fail("boundary", "the mode is strict, wide or off: got '", text, "'");
}

std::string_view name(BoundaryMode mode) { return rule_of(mode).name; }
std::ostream& operator<<(std::ostream& out, BoundaryMode mode) { return out << name(mode); }

std::string_view name(Direction direction) {
    return direction == Direction::forward ? "forward" : "backward";
}

int GradScale::choose(double bound) const {
    constexpr int kTarget = 14;  // bound * 2^k in [2^13, 2^14)
    constexpr int kLimit = 126;  // 2^k and 2^-k are normal floats
    if (kind == Kind::none) return 0;
    const bool usable = bound > 0 && std::isfinite(bound);
    int above = 0;  // bound < 2^above
    if (usable) std::frexp(bound, &above);
    if (kind == Kind::automatic) return usable ? std::clamp(kTarget - above, -kLimit, kLimit) : 0;
    const int k = std::clamp(exponent, -kLimit, kLimit);
    return usable && k > 0 ? std::min(k, std::max(0, kTarget + 1 - above)) : k;
}

}  // namespace demi
