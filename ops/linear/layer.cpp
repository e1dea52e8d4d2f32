#include "ops/linear/layer.h"

#include <utility>

#include "ops/elementwise/elementwise.h"
#include "ops/matmul/gemm_call.h"

namespace demi {

void check_layer(const Op& op, std::string_view weight_name, std::string_view bias_name, const Tensor& x,
                 int64_t in, const Tensor& weight, const Tensor& bias) {
    op.floats(weight_name, weight);
    op.same_device("x", x, weight_name, weight);
    op.check(weight.rank() == 2 && weight.size(1) == in, weight_name, " must be [out, ", in,
             "] for an input of ", x.shape(), ": got ", weight.shape());
    op.check(weight.dtype() == x.dtype() || (weight.dtype() == DType::f32 && is_half(x.dtype())), weight_name,
             " must have x's dtype ", x.dtype(), is_half(x.dtype()) ? " or f32" : "", ": got ",
             weight.dtype());
    if (!bias.defined()) return;
    op.floats(bias_name, bias);
    op.same_device("x", x, bias_name, bias);
    op.check(bias.rank() == 1 && bias.size(0) == weight.size(0), bias_name, " must be [", weight.size(0),
             "]: got ", bias.shape());
    op.check(bias.dtype() == x.dtype() || (bias.dtype() == DType::f32 && is_half(x.dtype())), bias_name,
             " must have x's dtype ", x.dtype(), is_half(x.dtype()) ? " or f32" : "", ": got ", bias.dtype());
}

Tensor checked_residual(const Op& op, const Tensor& x, const Shape& shape, const Tensor& residual) {
    op.same_device("x", x, "residual", residual);
    op.same_dtype("x", x, "residual", residual);
    op.check(residual.shape() == shape, "the residual must have the result's shape ", shape, ": got ",
             residual.shape());
    return residual.contiguous();
}

Tensor as_rows(const Tensor& x) {
    const int64_t in = x.shape().back();
    if (x.rank() == 2) return x;
    int64_t rows = 1;
    for (int d = 0; d + 1 < x.rank(); ++d) rows = checked_mul(rows, x.size(d), "linear");
    return x.reshape({rows, in});
}

Shape with_last(const Shape& shape, int64_t size) {
    Shape out = shape;
    out[out.rank() - 1] = size;
    return out;
}

// On a GPU parameters in f32 beside a 16-bit x are rounded before the product, weight and bias in one launch.
static void round_parameters(LayerForward& call) {
    const DType dtype = call.x.dtype();
    const bool with_bias = call.bias.defined() && call.bias.dtype() != dtype;
    const Tensor weight = call.weight, bias = with_bias ? call.bias : Tensor();
    if (!is_half(dtype) || weight.dtype() == dtype || !weight.is_contiguous()) {
        call.weight = weight.to(dtype);
        if (with_bias) call.bias = bias.to(dtype);
        return;
    }
    call.weight = Tensor::empty(weight.shape(), dtype, weight.device());
    Tensor rounded = with_bias ? Tensor::empty(bias.shape(), dtype, bias.device()) : Tensor();
    gemm_on(weight.device())
        .narrow({reads(weight), reads(bias), writes(call.weight), writes(rounded), weight.numel(),
                 with_bias ? bias.numel() : 0},
                queue_of(weight));
    if (with_bias) call.bias = rounded;
}

void run_layer(LayerForward& call) {
    if (call.y.numel() == 0) return;
    const bool cpu = call.x.device().is_cpu();
    if (!cpu) round_parameters(call);
    // cublasLt's own gelu is the approximation by tanh: on a GPU it is a pass of its own.
    Tensor& product = !cpu && call.gelu && call.pre.defined() ? call.pre : call.y;
    const Tensor x = gemm_ready(call.x), weight = gemm_ready(call.weight);
    GemmCall g = gemm_call(x, weight.transpose(0, 1), product);
    g.bias = reads(call.bias);
    if (cpu) {
        g.a.gelu = call.gelu_of_x;
        g.b_packed = g.dtype == DType::f64 ? nullptr : packed_weight(weight, g.dtype);
        g.gelu = call.gelu;
        if (call.gelu) g.save_pre = writes(call.pre);
        g.residual = reads(call.residual);
    }
    multiply(g, x.device());
    if (!cpu && call.gelu) elementwise_into(call.y, ElementFn::gelu, {product});
}

static void input_gradient(LayerBackward& call) {
    const bool cpu = call.dy.device().is_cpu();
    const Tensor weight = cpu ? call.weight : gemm_ready(call.weight.to(call.dy.dtype()));
    GemmCall g = gemm_call(call.dy, weight, call.dx);
    if (cpu) g.gelu_grad_of = reads(call.gelu_of_x ? call.x : call.x_pre);
    multiply(g, call.dy.device());
    if (!cpu && call.x_pre.defined()) elementwise_into(call.dx, ElementFn::gelu_grad, {call.dx, call.x_pre});
}

void run_layer(LayerBackward& call) {
    if (call.dx.defined() && call.dx.numel() > 0) input_gradient(call);
    if (!call.dweight.defined() && !call.dbias.defined()) return;
    const Tensor x = gemm_ready(call.x);
    GemmCall g = gemm_call(call.dy.transpose(0, 1), x, call.dweight);
    g.b.gelu = call.gelu_of_x;
    g.row_sums = writes(call.dbias);
    multiply(g, call.dy.device());
}

}  // namespace demi
