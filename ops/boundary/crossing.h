#pragma once
// Internal: one call of an operator at the fp16 boundary. It knows what the mode rounds, converts where kernels do not,
// collects what was lost, applies the overflow policy and writes the ledger:
//
//   const Crossing call("foo", boundary, Direction::forward, q.dtype());
//   Entering k = call.enter("k", key);
//   Leaving y = call.leave("result", out);
//   foo_on(device).forward({reads(k.tensor), k.cast, k.lost(), writes(y.target), y.cast, y.lost()}, queue);
//   call.note(k);
//   return call.finish(y);
#include <functional>

#include "ops/boundary/boundary.h"
#include "ops/boundary/boundary_kernels.h"

namespace demi {

// One row for each mode: which tensors it rounds. See the table in boundary.h.
struct BoundaryRule {
    std::string_view name;
    bool operands, accumulators, result, gradients;
};
const BoundaryRule& rule_of(BoundaryMode mode);

enum class Role : uint8_t { operand, accumulator };

// A number that does not fit into fp16: what it was and where, or 0 where there is none.
struct Overflow {
    std::string operand;
    Shape at = {};
    double value = 0;
};
using FindOverflow = std::function<Overflow()>;

// A tensor on its way into the kernels.
struct Entering {
    const char* name = "";
    Tensor given;   // as the caller has it; undefined: absent
    Tensor tensor;  // as kernels read it: all f64, or f32, bf16 and f16 in any mixture
    Cast cast;      // what they do with what they read
    int k = 0;      // it enters times 2^k
    CastCounters counters;

    // What backward enters again.
    const Tensor& kept() const { return given.defined() && given.dtype() == DType::f64 ? tensor : given; }
    // What the kernels of this call add to; null where they count nothing. Asked once.
    CastCounters* lost();
};

struct EnterAs {
    Role role = Role::operand;
    int k = 0;
    bool count = true;  // false: forward has counted it
    // Counts what is converted before the kernels, where that is more than they read.
    std::function<CastCounters(const Cast&)> count_converted = nullptr;
};

// A tensor that kernels write.
struct Leaving {
    const char* name = "";
    Tensor result;  // what the caller gets; undefined: not wanted
    Tensor target;  // what kernels write: result, or f16 where finish() converts
    Cast cast;
    int k = 0;  // the last 2^k that it had
    float undo = 1;
    CastCounters counters;

    CastCounters* lost();
};

class Crossing {
  public:
    // `first` is the dtype of the operator's first operand; where it is f64, no mode applies.
    Crossing(std::string_view op, const Boundary& boundary, Direction direction, DType first = DType::f32);

    bool rounds(Role role) const { return role == Role::operand ? rule_.operands : rule_.accumulators; }
    bool rounds_gradients() const { return rule_.gradients; }
    bool scales() const { return boundary_.grad_scale.kind != GradScale::Kind::none; }
    // The k of a gradient that enters in this role, of which bound() is the largest absolute value.
    int gradient_exponent(Role role, const std::function<double()>& bound) const;

    // Converts f64 beside a narrower first operand, and everything for Boundary::explicit_casts; leaves the rest to kernels.
    Entering enter(const char* name, const Tensor& x, const EnterAs& as = {}) const;
    // x as it entered, with its scale taken out again, in its own dtype: the gradient of what is only added to.
    Tensor pass(Entering& x) const;

    // The operator's result.
    Leaving leave(const char* name, const Tensor& result) const {
        return leave(name, result, rule_.result, 0, 0);
    }
    // A gradient whose sums carry 2^k and are at most `bound` without it.
    Leaving leave_gradient(const char* name, const Tensor& result, int k, double bound) const {
        return leave(name, result, rule_.gradients, k, bound);
    }
    // For a gradient that is ready in f32 (f64), `sums` with 2^k: the gradient in `dtype`. `text` is its name in an error.
    Tensor leave_sums(const char* name, const char* text, const Tensor& sums, DType dtype, int k) const;

    void note(const Entering& x) const;
    // After the kernels. `find` finds an overflow of the unrounded result; without, it is looked for in the result.
    Tensor finish(const Leaving& y, const FindOverflow& find = nullptr) const;

    // Adds to the ledger, which reads what is pending later; under OverflowPolicy::error reads it at once and throws where
    // something overflowed. `find` is called only then.
    void note(std::string_view operand, const CastCounters& counters, int k = 0,
              const FindOverflow& find = nullptr) const;

    // How one number enters, times 2^k; and leaves, times 2^scale before it is rounded and 2^-undo after
    // (each within [-126, 126]).
    Cast entry(DType dtype, int k = 0, Role role = Role::operand) const;
    Cast exit(int scale = 0, int undo = 0) const { return exit(rule_.result, scale, undo); }

  private:
    Cast cast(bool round) const;
    Cast exit(bool round, int scale, int undo) const;
    Leaving leave(const char* name, const Tensor& result, bool round, int k, double bound) const;

    std::string_view op_;
    const Boundary& boundary_;
    Direction direction_;
    DType first_;
    BoundaryRule rule_;
    bool count_;
};

// The dtype in which kernels write the gradient of a tensor (beside a first operand of dtype `first`); the wrapper takes it
// to the tensor's own.
constexpr DType written_gradient(DType operand, DType first) {
    if (first == DType::f64) return DType::f64;
    return operand == DType::f64 ? DType::f32 : operand;
}

// One of the two may be pending without a wait.
void merge(CastCounters& into, const CastCounters& from);

// The first element, in logical order, with |x * 2^k| >= 65520; its value without 2^taken_out, which `tensor` carries.
Overflow find_overflow(std::string operand, const Tensor& tensor, int k = 0, int taken_out = 0);

// Largest finite |x| of a floating-point tensor of any strides, in parallel.
double finite_amax(const Tensor& tensor);

// The whole tensor across the boundary, into a new contiguous one of `dtype`.
Tensor cast_tensor(const Tensor& tensor, const Cast& cast, DType dtype, CastCounters& counters);

// The explicit path: fp16(x * scale) as a new contiguous f16 tensor; and back: x * undo in `dtype`.
Tensor cast_to_half(const Tensor& tensor, const Cast& cast);
Tensor cast_from_half(const Tensor& tensor, DType dtype, float undo);
// What cast_to_half would count, and of some rows; nothing while a step is captured.
CastCounters count_cast(const Tensor& tensor, const Cast& cast);
CastCounters count_rows(const Tensor& tensor, const Tensor& rows, const Cast& cast);

}  // namespace demi
