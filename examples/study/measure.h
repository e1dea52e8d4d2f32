#pragma once
// What the boundary study measures, with the library's own operators. Everything follows from the seed.
#include <string>
#include <vector>

#include "ops/boundary/boundary.h"

namespace demi::examples::study {

inline constexpr float kAlpha = 1 / 0.7f;  // stochastic depth keeps 70 % of the images
inline constexpr double kGamma = 1e-5;     // LayerScale's first value

// One residual add: x is normal with `sigma`, the branch normal with 1, LayerScale `gamma`.
struct Arrival {
    double swallowed = 0;           // share of the named elements that the update did not change at all
    double error = 0;               // ||arrived - update|| / ||update||, in double
    std::vector<float> sent, came;  // of some elements: the update, and what x really moved by
};
Arrival residual_add(BoundaryMode mode, double sigma, double gamma, uint64_t seed);

// The same stream through `layers` adds: the error of the sum of all updates so far, after each of them.
std::vector<double> residual_stream(BoundaryMode mode, int layers, uint64_t seed);

// A gradient, normal with `sigma`, through index_select_cat in strict mode.
struct Crossing {
    double zeroed = 0;              // share of elements that became 0
    double error = 0;               // relative L2
    std::vector<float> sent, came;  // some of them
};
Crossing gradient(GradScale scale, double sigma, uint64_t seed);

// One x of 70000 among normal ones: scaled_index_add, then layernorm, then attention over all tokens. 0
// finite, 1 infinite, 2 NaN for each element [tokens, width] after each step.
inline constexpr int kTokens = 24, kWidth = 64;
struct Outlier {
    std::string value;  // what the outlier became, or the error
    std::vector<std::vector<int>> kinds;
};
Outlier outlier(BoundaryMode mode, OverflowPolicy policy, uint64_t seed);

// Bytes allocated by one call on a f32 tensor of `bytes`, as multiples of it.
struct Memory {
    double fused = 0, explicit_casts = 0;
};
Memory memory();

}  // namespace demi::examples::study
