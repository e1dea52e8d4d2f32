#pragma once
// Internal: one call of an operator at the boundary. Tells kernels how operands cross, collects their
// counters, enforces the overflow policy, writes the ledger:
//
//   BoundaryCall call("foo", boundary, Direction::forward);
//   const Cast cast = call.entry(x.dtype());
//   CastCounters counters;
//   ... kernel ...
//   call.note("x", cast, counters, [&] { return find_overflow(x, cast); });
#include <functional>
#include <optional>

#include "ops/boundary/boundary.h"

namespace demi {

Storage storage_of(DType dtype);  // throws for anything but f32, f16, bf16

// One of the two may be pending without a wait.
void merge(CastCounters& into, const CastCounters& from);

// An element that does not fit into fp16: where it is and what it was.
struct Overflow {
    std::string place;  // "sources[1] at (3, 17)"
    double value = 0;
};

class BoundaryCall {
  public:
    BoundaryCall(std::string_view op, const Boundary& boundary, Direction direction);

    // The operand as the kernels of a call read it whose first operand has dtype `first`: boundary.h's table
    // for f64. Beside a narrower first operand f64 is cast here, straight to fp16 or, where the mode does not
    // round, to `unrounded`; what that lost is added to `counters`, which may be null. Any other operand
    // kernels cast as they load it: see entry(). An undefined one stays so.
    Tensor read(const Tensor& operand, DType first, CastCounters* counters,
                DType unrounded = DType::f32) const;

    // An operand of this dtype on its way into the fp16 kernel; strict and wide round it. k scales, 2^-k is
    // left to exit().
    Cast entry(DType dtype, int k = 0) const;
    // A result on its way out: rounded to fp16 in strict, times 2^scale before and 2^-undo after (each within
    // [-126, 126]).
    Cast exit(int scale = 0, int undo = 0) const;
    bool counts() const { return count_; }

    // Adds to the ledger, which reads what is pending later; under OverflowPolicy::error reads it at once and
    // throws where something overflowed. `find` is called only then.
    void note(std::string_view operand, const CastCounters& counters, int k = 0,
              const std::function<Overflow()>& find = nullptr) const;

  private:
    std::string_view op_;
    const Boundary& boundary_;
    Direction direction_;
    bool count_;
};

// The dtype in which kernels write the gradient of an operand (beside a first operand of dtype `first`); the
// wrapper takes it to the operand's own.
constexpr DType written_gradient(DType operand, DType first) {
    if (first == DType::f64) return DType::f64;
    return operand == DType::f64 ? DType::f32 : operand;
}

// First element, in logical order, with |x * scale| >= 65520; nothing where there is none. place holds its
// index.
std::optional<Overflow> find_overflow(const Tensor& tensor, float scale);

// Largest finite |x| of a floating-point tensor of any strides, in parallel.
double finite_amax(const Tensor& tensor);

// The whole tensor across the boundary, into a new contiguous one.
Tensor cast_tensor(const Tensor& tensor, const Cast& cast, DType dtype, CastCounters& counters);

// The explicit path: fp16(x * 2^k) as a new contiguous f16 tensor; and back: x * 2^-k in `dtype`.
Tensor cast_to_half(const Tensor& tensor, const Cast& cast);
Tensor cast_from_half(const Tensor& tensor, DType dtype, float undo);
// What cast_to_half would count; nothing while a step is captured.
CastCounters count_cast(const Tensor& tensor, const Cast& cast);

}  // namespace demi
