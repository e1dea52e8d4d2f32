#pragma once
// The fp16 boundary as its header describes it.
#include "ops/boundary/boundary.h"
#include "tests/fuzz/graph.h"

namespace demi::fuzz {

inline Boundary some_boundary(Graph& g) {
    Boundary b;
    b.mode = g.dice.one_of<BoundaryMode>({BoundaryMode::off, BoundaryMode::strict, BoundaryMode::wide});
    b.explicit_casts = g.dice.chance(0.2);
    b.count = g.dice.chance(0.5);
    return b;
}

// f64 (the first operand's) crosses nothing.
inline bool crosses(const Boundary& b, DType first) {
    return b.mode != BoundaryMode::off && first != DType::f64;
}

// An operand on its way into the fp16 kernel.
inline Num entering(const Num& x, bool half) { return half ? with_value(x, rounded(x.v, DType::f16)) : x; }
inline Num coming_back(const Num& x, bool half) { return half ? coming_back(x) : x; }

}  // namespace demi::fuzz
