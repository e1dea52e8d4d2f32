#pragma once
// What a forward pass needs to know beside its input.
#include <functional>

#include "autograd/variable.h"
#include "ops/boundary/boundary.h"
#include "runtime/random.h"

namespace demi {

// Compute dtype of the branches (linear layers, attention). Parameters, norms' statistics, the residual
// stream and losses stay in f32 whatever it is.
enum class Precision { f32, bf16, f16 };
DType compute_dtype(Precision precision);
Precision parse_precision(std::string_view text);  // "f32", "bf16", "f16"
const char* name(Precision precision);

// Brings a part of a model (a block) into memory while it computes: see models/data_parallel.h.
class UnitScope {
  public:
    virtual ~UnitScope() = default;
    virtual void enter(const void* begin,
                       const void* end) = 0;  // the addresses that the unit's struct covers
    virtual void leave(const void* begin, const void* end, const std::vector<Variable>& results) = 0;
};

struct ForwardContext {
    bool training = false;
    Precision precision = Precision::f32;
    Boundary boundary;               // of the three fp16 operators
    Generator* generator = nullptr;  // stochastic depth; needed when training with a drop rate
    // Replaces the generator's permutations, for conformance cases that state them.
    std::function<std::vector<int64_t>(int64_t n)> permutation;

    UnitScope* units = nullptr;  // null: everything is in memory

    // fn(), a Variable or several, with the unit in memory.
    template <class Unit, class F> auto in_unit(const Unit& unit, const F& fn) const {
        if (units == nullptr) return fn();
        units->enter(&unit, &unit + 1);
        auto result = fn();
        if constexpr (std::is_same_v<decltype(result), Variable>)
            units->leave(&unit, &unit + 1, {result});
        else
            units->leave(&unit, &unit + 1, result);
        return result;
    }
    std::vector<int64_t> draw_permutation(int64_t n) const;
};

}  // namespace demi
