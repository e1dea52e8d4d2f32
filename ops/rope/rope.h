#pragma once
// Rotary position embedding in the half layout, on q and k of all tokens but a prefix (class and register tokens):
//
//   y_k       = x_k cos a_k - x_{k + K/2} sin a_k            for k < K / 2
//   y_{k+K/2} = x_{k + K/2} cos a_k + x_k sin a_k
//   backward: the same rotation by -a. The table has no gradient
//
// x        [B, N, H, K], all rotated; or packed [B, N, 3, H, K], of which q and k are rotated and v is copied. K even;
//          any strides; f16, bf16 (f32 arithmetic, rounded once), f32, f64
// table    [2, T, K / 2]: cos and sin of the angles of T positions, f32 or f64, the same for all heads
// segments the B N tokens of x in order: each stands for `sequences` sequences of prefix + T tokens, so that packed
//          sequences of different lengths are served by one call
//
// rope_in_place() rotates within x's own memory (contiguous; not of a leaf that requires a gradient) and copies nothing: x
// must not be used afterwards, and backward through an op that saved it throws.
#include "autograd/variable.h"

namespace demi {

struct RopeSegment {
    Tensor table;
    int64_t sequences = 0, prefix = 0;
};

Variable rope(const Variable& x, const std::vector<RopeSegment>& segments);
Variable rope_in_place(const Variable& x, const std::vector<RopeSegment>& segments);

}  // namespace demi
