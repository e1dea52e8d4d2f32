#pragma once
// The fp16 boundary: how f32, bf16 and f16 callers use operators that compute on fp16 operands.
//
//   strict  every operand is rounded to fp16 on entry; every result is rounded to fp16 and returns in the
//           caller's dtype. Backward the same: gradients enter and leave through fp16.
//   wide    operands are rounded to fp16, results leave from the f32 accumulators. scaled_index_add adds into
//           the caller's x unrounded, and its gradient passes unrounded; index_select_cat copies bits.
//   off     no cast: the caller's dtype, f32 arithmetic.
//
// What happens to an operand, by its dtype and that of the first operand (q; input; sources[0]):
//
//   operand         first operand      strict    wide      off
//   f32, bf16       f32, bf16, f16     to fp16   to fp16   as it is
//   f16             f32, bf16, f16     as it is  as it is  as it is
//   f64             f32, bf16, f16     to fp16   to fp16   to f32
//   f64 or others   f64                as it is or exactly to f64: f64 arithmetic, no mode applies
//
// "to fp16" is one rounding, straight from the operand's own dtype; it is what is counted and what
// OverflowPolicy looks at. Two operands are not rounded in wide: the input of scaled_index_add, and the
// sources of index_select_cat, which go straight to the dtype of the result in wide and off. What is f16
// already is neither counted nor refused. The result has the first operand's dtype, a gradient the dtype of
// its value: beside a narrower first operand that of an f64 operand leaves as those of f32 do (through fp16
// in strict, else from the f32 sums) and is then f64.
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "ops/boundary/boundary_kernel.h"
#include "runtime/tensor.h"

namespace demi {

// What happens to |x| >= 65520, which rounds to infinity in fp16 (an infinity that arrives as such included).
//   propagate  it becomes infinity
//   saturate   it becomes +-65504; NaN stays NaN
//   error      Error naming op, operand, index and value; nothing is returned and no input has changed
enum class OverflowPolicy : uint8_t { propagate, saturate, error };

// Gradients are multiplied by 2^k before they are rounded to fp16, results by 2^-k afterwards: exact, and
// small gradients survive. Backward is linear in the gradient, so nothing else changes.
//   none       k = 0
//   automatic  k puts the largest finite |gradient| into [2^13, 2^14): two binary digits of headroom. A
//              result that leaves through fp16 has its own k, from a bound of its size, so scaling itself
//              never overflows.
//   fixed(k)   that k, lowered where scaling up would overflow
// A gradient of zeros, or without one finite element, has k = 0. k stays within [-126, 126].
struct GradScale {
    enum class Kind : uint8_t { none, automatic, fixed };
    Kind kind = Kind::none;
    int exponent = 0;

    static constexpr GradScale none() { return {}; }
    static constexpr GradScale automatic() { return {Kind::automatic, 0}; }
    static constexpr GradScale fixed(int k) { return {Kind::fixed, k}; }
    bool operator==(const GradScale&) const = default;

    // k for values whose absolute values are at most `bound`.
    int choose(double bound) const;
};

struct Boundary {
    BoundaryMode mode = BoundaryMode::strict;
    OverflowPolicy overflow = OverflowPolicy::propagate;
    GradScale grad_scale = {};
    bool explicit_casts =
        false;          // the reference: cast tensors, fp16 kernel, cast back. The same bits, more memory.
    bool count = true;  // note in the ledger what the casts lost
    std::string site = {};  // the caller's name for this call, shown in the report
};

BoundaryMode parse_boundary_mode(std::string_view text);  // "strict", "wide", "off"
std::string_view name(BoundaryMode mode);
std::ostream& operator<<(std::ostream& out, BoundaryMode mode);

enum class Direction : uint8_t { forward, backward };
std::string_view name(Direction direction);

// One line of the ledger: what crossed at one site, in one direction, as one operand, since the last reset.
struct BoundaryRow {
    std::string site, op;
    Direction direction = Direction::forward;
    std::string operand;
    int64_t calls = 0;
    CastCounters counters;                   // amax: before scaling
    int min_exponent = 0, max_exponent = 0;  // of the gradient scale
};

// A GPU counts while operators go on; asking waits for it, as does every few thousandth cast. Replays of a
// captured step count nothing, and the step itself cannot ask.
std::vector<BoundaryRow> boundary_counters();  // in the order in which the lines first appeared
std::string boundary_report();                 // the same as a text table
void reset_boundary_counters();
// Counting for the whole process (on by default); Boundary::count switches a single call.
void set_boundary_counting(bool on);
bool boundary_counting();

}  // namespace demi
