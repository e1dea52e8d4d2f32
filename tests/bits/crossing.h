#pragma once
// Cases of an operator behind the fp16 boundary; they have a result more, "ledger": what the casts counted.
#include "tests/bits/bits.h"

namespace demi::bits {

inline const DTypes kFloats{DType::f32, DType::f16, DType::bf16, DType::f64};

struct Crossing {
    std::string op, detail;
    Shapes shapes;
    std::function<Vars(const Vars&, const Boundary&)> fn;
    Numbers numbers{}, gradients{-1, 1};
};

// One case: `how` names the boundary, `input` is the only leaf with a gradient (-1: all have one).
void run_crossing(const Crossing& c, const DTypes& dtypes, Layout layout, const Boundary& boundary,
                  const std::string& how, int input = -1);
// Every mode, fused in every layout and explicit, in every dtype and in those of `mixed`.
void run_layouts(const Crossing& c, const std::vector<DTypes>& mixed = {});
// Every mode, fused and explicit, with every gradient scale and overflow policy, in and out of fp16's range;
// each gradient alone.
void run_scales(const Crossing& c);

// strict, strict_explicit, wide, ...
std::vector<std::pair<std::string, Boundary>> modes();

}  // namespace demi::bits
