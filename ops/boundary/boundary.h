#pragma once
// The fp16 boundary. memory_efficient_attention, scaled_index_add and index_select_cat take tensors of any floating-point
// dtype and compute as operators that only know fp16 would. The mode says which numbers are rounded to fp16, once each,
// straight from their own dtype; all sums are in f32.
//
//   mode     operands   accumulators   result    gradients
//   strict   rounded    rounded        rounded   rounded
//   wide     rounded    as they are    as it is  as they are
//   off      as they are, all of them
//
//   operands      tensors that are multiplied: q, k, v and the bias of attention, source and scaling of scaled_index_add;
//                 in backward also the gradient that comes in
//   accumulators  tensors that are only added to or copied: input of scaled_index_add, the sources of index_select_cat; in
//                 backward the gradient that comes in, on its way to them
//   result        what the operator returns, in the dtype of its first operand (q; input; sources[0])
//   gradients     what backward returns, each in the dtype of the tensor that it belongs to
//
// "Rounded" numbers stay in their tensors' dtypes: strict returns an f32 result whose values are fp16 numbers. What the
// operator reads, by the dtype of a tensor and of the first operand:
//
//   tensor          first operand     the mode rounds it       the mode leaves it as it is
//   f32, bf16       f32, bf16, f16    rounded to fp16          as it is
//   f16             f32, bf16, f16    as it is                 as it is
//   f64             f32, bf16, f16    rounded to fp16          to f32 (a source of index_select_cat: to the result's dtype)
//   f64 or others   f64               as it is, or exactly to f64: arithmetic in f64, no mode applies
//
// Only what is rounded is counted and subject to OverflowPolicy; an f16 tensor is neither. The gradient of an f64 tensor
// beside a narrower first operand is computed as for f32, then converted.
#include "ops/boundary/cast.h"
#include "runtime/tensor.h"

namespace demi {

enum class BoundaryMode : uint8_t { strict, wide, off };

// What happens to a number with |x| >= 65520, which would round to infinity in fp16. Infinities count as such numbers.
//   propagate  it becomes infinity
//   saturate   it becomes 65504 or -65504; NaN stays NaN
//   error      Error with the operator, the operand, the index and the value; nothing is returned, no tensor has changed
enum class OverflowPolicy : uint8_t { propagate, saturate, error };

// Small gradients would vanish in fp16. So backward multiplies the gradient that comes in by 2^k before it is rounded, and
// the results by 2^-k. Powers of two change no digit, and backward is linear in the gradient.
//   none       k = 0
//   automatic  k such that the largest finite |gradient| lies in [2^13, 2^14), four times below fp16's largest number. A
//              gradient that leaves rounded has a k of its own, from a bound of its size: scaling never makes it overflow.
//   fixed(k)   this k, less where scaling up would overflow
// k = 0 where all of the gradient is zero or not finite. k stays within [-126, 126].
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
    // Cast whole tensors before and after the kernel: the same bits, more memory; for tests.
    bool explicit_casts = false;
    bool count = true;      // note in the ledger (below) what rounding lost
    std::string site = {};  // the caller's name for this call, shown in the report
};

BoundaryMode parse_boundary_mode(std::string_view text);  // "strict", "wide", "off"
std::string_view name(BoundaryMode mode);
std::ostream& operator<<(std::ostream& out, BoundaryMode mode);

enum class Direction : uint8_t { forward, backward };
std::string_view name(Direction direction);

// The ledger has one line for each site, operator, direction and operand: what was rounded there since the last reset.
struct BoundaryRow {
    std::string site, op;
    Direction direction = Direction::forward;
    std::string operand;
    int64_t calls = 0;
    CastCounters counters;                   // amax: before scaling
    int min_exponent = 0, max_exponent = 0;  // of the gradient scale
};

// A GPU counts while it computes, and operators do not wait for it. Reading the ledger does, and so does an operator every
// 4096 casts, to keep the list of unread counters short. A captured step may not read the ledger, and its replays add
// nothing to it.
std::vector<BoundaryRow> boundary_counters();  // in the order in which the lines first appeared
std::string boundary_report();                 // the same as a text table
std::string boundary_report(const std::vector<BoundaryRow>& rows);
void reset_boundary_counters();
// Counting in the whole process, on by default; Boundary::count switches a single call.
void set_boundary_counting(bool on);
bool boundary_counting();

}  // namespace demi
