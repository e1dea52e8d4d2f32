#include "ops/boundary/boundary.h"

#include <algorithm>
#include <cmath>
#include <ostream>

#include "runtime/isa.h"

namespace demi {

DEMI_ISA_TABLE(BoundaryIsa, boundary_isa)

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

BoundaryMode parse_boundary_mode(std::string_view text) {
    for (const BoundaryMode mode : {BoundaryMode::strict, BoundaryMode::wide, BoundaryMode::off})
        if (text == name(mode)) return mode;
    fail("boundary", "the mode is strict, wide or off: got '", text, "'");
}

std::string_view name(BoundaryMode mode) {
    if (mode == BoundaryMode::strict) return "strict";
    return mode == BoundaryMode::wide ? "wide" : "off";
}

std::ostream& operator<<(std::ostream& out, BoundaryMode mode) { return out << name(mode); }

std::string_view name(Direction direction) {
    return direction == Direction::forward ? "forward" : "backward";
}

}  // namespace demi
