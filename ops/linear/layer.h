#pragma once
// Internal: one layer x weight^T + bias, as linear and mlp are made of.
#include "ops/op.h"

namespace demi {

// weight [out, in] and bias [out] (or undefined) fit x [..., in]: sizes, dtypes, devices. Throws
// Error with the names given.
void check_layer(const Op& op, std::string_view weight_name, std::string_view bias_name, const Tensor& x,
                 int64_t in, const Tensor& weight, const Tensor& bias);

// The residual of linear_add and mlp_add, contiguous: it has the result's shape and x's dtype and device.
Tensor checked_residual(const Op& op, const Tensor& x, const Shape& shape, const Tensor& residual);

// x [..., in] as [rows, in].
Tensor as_rows(const Tensor& x);
// Its shape with another last size.
Shape with_last(const Shape& shape, int64_t size);

// x [m, k] of any strides; y, pre and residual [m, n] contiguous, all of x's dtype. weight [n, k] of any strides, bias [n]
// contiguous or undefined, of x's dtype or f32, rounded to x's dtype as they are read. On a GPU that is done before, and the
// rounded ones are left here, for the backward to read.
struct LayerForward {
    Tensor x, weight, bias;
    bool gelu = false;       // y goes through gelu
    bool gelu_of_x = false;  // y = gelu(x) weight^T ...; of the CPU, not for f64
    Tensor residual;         // of the CPU, or undefined: is added to y
    Tensor y;
    Tensor pre;  // undefined, or gets the value before gelu
};
void run_layer(LayerForward& call);

// What is undefined is not wanted. All contiguous but x and weight.
struct LayerBackward {
    Tensor x, weight, dy;    // dy: the gradient of x weight^T + bias
    Tensor x_pre;            // where defined, x = gelu(x_pre), and dx is the gradient of x_pre
    bool gelu_of_x = false;  // x is what gelu is taken of, and dx its gradient
    Tensor dx, dweight, dbias;
};
void run_layer(LayerBackward& call);

// The weight [n, k] as pack_b() leaves it for x weight^T in `dtype`, valid until the thread asks again; null where no
// InferenceMode lives.
const float* packed_weight(const Tensor& weight, DType dtype);

}  // namespace demi
