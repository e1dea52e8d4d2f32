#pragma once
// What a forward pass needs to know beside its input.
#include <functional>

#include "ops/boundary/boundary.h"
#include "runtime/random.h"

namespace demi {

// Compute dtype of the branches (linear layers, attention). Parameters, norms' statistics, the residual
// stream and losses stay in f32 whatever it is.
enum class Precision { f32, bf16, f16 };
DType compute_dtype(Precision precision);
Precision parse_precision(std::string_view text);  // "f32", "bf16", "f16"
const char* name(Precision precision);

struct ForwardContext {
    bool training = false;
    Precision precision = Precision::f32;
    Boundary boundary;               // of the three fp16 operators
    Generator* generator = nullptr;  // stochastic depth; needed when training with a drop rate
    // Replaces the generator's permutations, for conformance cases that state them.
    std::function<std::vector<int64_t>(int64_t n)> permutation;

    std::vector<int64_t> draw_permutation(int64_t n) const;
};

}  // namespace demi
