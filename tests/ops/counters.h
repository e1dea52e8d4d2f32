#pragma once
#include "ops/boundary/boundary.h"
#include "tests/support/check_error.h"

namespace demi::test {

// What the two count differently: "to_inf 3, not 2; ". "" where they are equal.
inline std::string different(const CastCounters& got, const CastCounters& want) {
    std::string out;
    const auto compare = [&](const char* name, auto a, auto b) {
        if (a != b) out += name + (' ' + printed(a)) + ", not " + printed(b) + "; ";
    };
    compare("elements", got.elements, want.elements);
    compare("to_inf", got.to_inf, want.to_inf);
    compare("nan", got.nan, want.nan);
    compare("to_zero", got.to_zero, want.to_zero);
    compare("subnormal", got.subnormal, want.subnormal);
    compare("amax", got.amax, want.amax);
    return out;
}

}  // namespace demi::test
