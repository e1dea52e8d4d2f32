#pragma once
#include <algorithm>
#include <cmath>

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

// A crossing of f32, bf16 or f16 number by number, and what it loses.
struct Crossed {
    Tensor y;  // f32
    CastCounters lost;
};
inline Crossed by_definition(const Tensor& x, const Cast& cast) {
    std::vector<float> scaled;
    CastCounters lost;
    for (const float v : x.to(DType::f32).to_vector<float>()) {
        const float s = v * cast.scale;
        const double size = std::isnan(s) ? 0 : std::fabs(double(s));
        ++lost.elements;
        lost.nan += std::isnan(s);
        lost.to_inf += size >= 65520;
        lost.to_zero += size > 0 && size <= 0x1p-25;
        lost.subnormal += size > 0x1p-25 && size < 0x1p-14 - 0x1p-25;
        lost.amax = std::max(lost.amax, size);
        scaled.push_back(cast.saturate && !std::isnan(s) ? std::clamp(s, -65504.f, 65504.f) : s);
    }
    std::vector<float> y = Tensor::from(scaled, x.shape()).to(DType::f16).to(DType::f32).to_vector<float>();
    for (float& v : y)
        if (cast.undo != 1) v *= cast.undo;
    return {Tensor::from(y, x.shape()), lost};
}

}  // namespace demi::test
