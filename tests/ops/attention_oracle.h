#pragma once
#include <functional>

#include "ops/memory_efficient_attention/memory_efficient_attention.h"

// Attention in double, written plainly: the scores of one (batch, head) as a whole matrix.
namespace demi::test {

struct AttentionOracle {
    Tensor out, lse;                // [B, Mq, H, Kv], [B, H, Mq], f64
    Tensor grad_q, grad_k, grad_v;  // f64, in the values' shapes
    Tensor grad_bias;               // [B, H, Mq, Mk], not summed
};

struct OracleCase {
    Tensor q, k, v, grad_out;  // any floats, rank 4
    Tensor mask;               // undefined, or [Mq, Mk] of 0 and -infinity
    Tensor bias;               // undefined, or [B or 1, H or 1, Mq, Mk]
    Tensor grad_lse;           // undefined, or [B, H, Mq]
    double scale = 0;          // 0: K^-1/2
    // Factor of weight (b, h, i, j) after the softmax; none: 1.
    std::function<double(int64_t b, int64_t h, int64_t i, int64_t j)> factor{};
};

AttentionOracle attention_oracle(const OracleCase& c);

// The sum of [B, H, Mq, Mk] over what `shape`, aligned to the right, was stretched over.
Tensor summed(const Tensor& full, const Shape& shape);

// |got - want| / |want| over all elements, where |want| counts as 1e-2 per element at least; infinity where
// `got` has a NaN.
double relative_l2(const Tensor& got, const Tensor& want);

// The same of the rows of the last dimension one by one, over their largest number; the worst. They may differ by
// orders of magnitude, up to `least` of the largest of all. Infinity where only one of two is not finite.
double worst_row(const Tensor& got, const Tensor& want, double least = 1e-3);

// Normal values, the same for the same seed, rounded to `dtype`, on the device under test.
Tensor normal_tensor(const Shape& shape, uint64_t seed, DType dtype = DType::f32, double std = 1);

// Operands and a gradient of one size: q [batch, queries, heads, size].
OracleCase normal_case(int64_t batch, int64_t queries, int64_t keys, int64_t heads, int64_t size);
// x on the device under test with fn(elements, i) in place of element i; x times a factor.
Tensor changed(const Tensor& x, const std::function<double(const std::vector<double>&, size_t)>& fn);
Tensor scaled(const Tensor& x, double factor);

// q, k, v as slices of one packed [B, M, 3, H, K].
struct Packed {
    Tensor qkv, q, k, v;
};
Packed packed_qkv(int64_t batch, int64_t tokens, int64_t heads, int64_t size, uint64_t seed,
                  DType dtype = DType::f32);

AttentionOptions boundary_off();

// Both results of attention, and the gradients for `grad` of the first.
struct AttentionResults {
    Tensor out, lse, q, k, v;
};
AttentionResults attention_results(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& grad,
                                   const AttentionBias& bias = {},
                                   const AttentionOptions& options = boundary_off());

}  // namespace demi::test
