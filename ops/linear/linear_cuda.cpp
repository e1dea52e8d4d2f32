#include "ops/linear/linear_cuda.h"

#include <utility>

#include "ops/elementwise/elementwise.h"
#include "ops/linear/linear_kernels.h"
#include "ops/matmul/matmul_kernels.h"
#include "ops/rows/column_sums_cuda.h"
#include "runtime/copy.h"
#include "runtime/cuda/stream.h"

namespace demi {
namespace {

Tensor compute_tensor(const Tensor& like) {
    return Tensor::empty(like.shape(), like.dtype() == DType::f64 ? DType::f64 : DType::f32, like.device());
}

// Weight and bias in x's dtype.
void narrow(LinearForward& call) {
    const DType dtype = call.x.dtype();
    const bool with_bias = call.bias.defined() && call.bias.dtype() != dtype;
    if (!is_half(dtype) || call.weight.dtype() == dtype || !call.weight.is_contiguous()) {
        call.weight = call.weight.to(dtype);
        if (with_bias) call.bias = call.bias.to(dtype);
        return;
    }
    const Tensor weight =
        std::exchange(call.weight, Tensor::empty(call.weight.shape(), dtype, call.weight.device()));
    const Tensor bias = call.bias;
    if (with_bias) call.bias = Tensor::empty(bias.shape(), dtype, bias.device());
    gpu_kernels::narrow(call.x.dtype(),
                        {weight.raw(), with_bias ? bias.raw() : nullptr, call.weight.mutable_raw(),
                         with_bias ? call.bias.mutable_raw() : nullptr, weight.numel(),
                         with_bias ? bias.numel() : 0},
                        gpu::current_stream(call.x.device()));
}

// out = x weight^T + bias, rounded once; all of one dtype.
void affine(const Tensor& x, const Tensor& weight, const Tensor& add, Tensor& out) {
    const Tensor right = weight.transpose(0, 1);
    if (!add.defined()) {
        blas_product(x, right, out);
        return;
    }
    if (blas_product(x, right, out, {.bias = add, .row_sums = {}})) return;
    Tensor sum = is_half(out.dtype()) ? compute_tensor(out) : out;
    blas_product(x, right, sum);
    gpu_kernels::add_bias(out.dtype(), {sum.raw(), add.raw(), out.mutable_raw(), out.size(0), out.size(1)},
                          gpu::current_stream(out.device()));
}

void forward(LinearForward& call) {
    if (call.y.numel() == 0) return;
    narrow(call);
    Tensor& product = call.gelu && call.pre.defined() ? call.pre : call.y;
    affine(call.x, call.weight, call.bias, product);
    // cublasLt's own GELU is the approximation by tanh.
    if (call.gelu) elementwise_into(call.y, ElementFn::gelu, {product});
}

void input_gradient(LinearBackward& call) {
    blas_product(call.dy, call.weight.to(call.dy.dtype()), call.dx);
    if (call.x_pre.defined()) elementwise_into(call.dx, ElementFn::gelu_grad, {call.dx, call.x_pre});
}

void bias_gradient(const Tensor& dy, Tensor& dbias) {
    if (dy.numel() == 0) return fill(dbias, 0);
    Tensor sums = is_half(dbias.dtype()) ? compute_tensor(dbias) : dbias;
    const int64_t rows = dy.size(0), width = dy.size(1);
    Tensor partial = Tensor::empty({gpu_kernels::row_blocks(rows).count, width}, sums.dtype(), dy.device());
    gpu_kernels::column_sums(dy.dtype(), {dy.raw(), sums.mutable_raw(), partial.mutable_raw(), rows, width},
                             gpu::current_stream(dy.device()));
    if (is_half(dbias.dtype())) copy(dbias, sums);
}

void parameter_gradients(LinearBackward& call) {
    bool together = false;
    if (call.dweight.defined() && call.dweight.numel() > 0) {
        const Tensor left = call.dy.transpose(0, 1);
        together = call.dbias.defined() && call.dbias.dtype() == call.dweight.dtype() &&
                   blas_product(left, call.x, call.dweight, {.bias = {}, .row_sums = call.dbias});
        if (!together) blas_product(left, call.x, call.dweight);
    }
    if (call.dbias.defined() && !together) bias_gradient(call.dy, call.dbias);
}

void backward(LinearBackward& call) {
    if (call.dx.defined() && call.dx.numel() > 0) input_gradient(call);
    parameter_gradients(call);
}

}  // namespace

extern const LinearKernels linear_cuda;
const LinearKernels linear_cuda{forward, backward};

}  // namespace demi
