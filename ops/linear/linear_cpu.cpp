#include <cmath>
#include <numbers>

#include "ops/linear/linear_kernels.h"
#include "ops/linear/packed_weight.h"
#include "ops/matmul/gemm.h"
#include "runtime/copy.h"

namespace demi {
namespace {

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

double gelu_slope(double x) {
    return normal_cdf(x) + x * std::exp(-0.5 * x * x) * std::numbers::inv_sqrtpi / std::numbers::sqrt2;
}

Tensor gelu_f64(const Tensor& x) {
    const Tensor from = x.contiguous();
    Tensor out = Tensor::like(from);
    const double* in = from.data<double>();
    double* y = out.mutable_data<double>();
    for (int64_t i = 0; i < from.numel(); ++i) y[i] = in[i] * normal_cdf(in[i]);
    return out;
}

void forward_f64(LinearForward& call) {
    const int64_t m = call.y.size(0), n = call.y.size(1);
    double* y = call.y.mutable_data<double>();
    const Tensor x = call.gelu_of_x ? gelu_f64(call.x) : call.x;
    gemm_f64(m, n, call.x.size(1), f64_operand(x), f64_transposed(call.weight), y, n);
    const double* bias = call.bias.defined() ? call.bias.data<double>() : nullptr;
    if (bias != nullptr)
        for (int64_t i = 0; i < m * n; ++i) y[i] += bias[i % n];
    if (call.pre.defined()) copy(call.pre, call.y);
    if (call.gelu)
        for (int64_t i = 0; i < m * n; ++i) y[i] *= normal_cdf(y[i]);
    if (call.residual.defined()) {
        const double* residual = call.residual.data<double>();
        for (int64_t i = 0; i < m * n; ++i) y[i] += residual[i];
    }
}

void backward_f64(LinearBackward& call) {
    const int64_t m = call.dy.size(0), n = call.dy.size(1), k = call.x.size(1);
    if (call.dx.defined()) {
        double* dx = call.dx.mutable_data<double>();
        gemm_f64(m, k, n, f64_operand(call.dy), f64_operand(call.weight), dx, k);
        if (call.x_pre.defined() || call.gelu_of_x) {
            const double* pre = call.gelu_of_x ? call.x.data<double>() : call.x_pre.data<double>();
            for (int64_t i = 0; i < m * k; ++i) dx[i] *= gelu_slope(pre[i]);
        }
    }
    const Tensor x = call.gelu_of_x && call.dweight.defined() ? gelu_f64(call.x) : call.x;
    if (call.dweight.defined())
        gemm_f64(n, k, m, f64_transposed(call.dy), f64_operand(x), call.dweight.mutable_data<double>(), k);
    if (call.dbias.defined()) {
        const double one = 1;
        gemm_f64(1, n, m, {&one, 0, 0}, f64_operand(call.dy), call.dbias.mutable_data<double>(), n);
    }
}

// x, or gelu of it.
GemmOperand through_gelu(GemmOperand x, bool gelu) {
    if (!gelu) return x;
    x.type = x.type == GemmType::f32   ? GemmType::gelu_of_f32
             : x.type == GemmType::f16 ? GemmType::gelu_of_f16
                                       : GemmType::gelu_of_bf16;
    return x;
}

void forward(LinearForward& call) {
    if (call.y.numel() == 0) return;
    if (call.y.dtype() == DType::f64) return forward_f64(call);
    const DType dtype = call.x.dtype();
    GemmCall g;
    g.m = call.y.size(0);
    g.n = call.y.size(1);
    g.k = call.x.size(1);
    g.a = through_gelu(gemm_operand(call.x, dtype), call.gelu_of_x);
    g.b = gemm_transposed(call.weight, dtype);
    g.b_packed = packed_weight(call.weight, dtype);
    g.c = call.y.mutable_raw();
    g.c_type = gemm_type(dtype);
    g.ldc = g.n;
    if (call.bias.defined()) {
        g.epilogue |= kGemmBias;
        g.bias = call.bias.raw();
        g.bias_type = gemm_type(call.bias.dtype(), dtype);
    }
    if (call.gelu) g.epilogue |= kGemmGelu;
    if (call.gelu && call.pre.defined()) {
        g.epilogue |= kGemmSavePre;
        g.pre = call.pre.mutable_raw();
        g.ld_pre = g.n;
    }
    if (call.residual.defined()) {
        g.epilogue |= kGemmResidual;
        g.residual = call.residual.raw();
        g.ld_residual = g.n;
    }
    gemm(g);
}

void input_gradient(LinearBackward& call) {
    const DType dtype = call.x.dtype();
    GemmCall g;
    g.m = call.dy.size(0);
    g.n = call.x.size(1);
    g.k = call.dy.size(1);
    g.a = gemm_operand(call.dy, dtype);
    g.b = gemm_operand(call.weight, dtype);
    g.c = call.dx.mutable_raw();
    g.c_type = gemm_type(dtype);
    g.ldc = g.n;
    if (call.x_pre.defined() || call.gelu_of_x) {
        g.epilogue = kGemmGeluGrad;
        // only read with this epilogue
        g.pre = const_cast<void*>(call.gelu_of_x ? call.x.raw() : call.x_pre.raw());
        g.ld_pre = g.n;
    }
    gemm(g);
}

// The sums over rows of dy are taken while dy is packed for dweight.
void parameter_gradients(LinearBackward& call) {
    const DType dtype = call.x.dtype();
    GemmCall g;
    g.m = call.dy.size(1);
    g.n = call.dweight.defined() ? call.x.size(1) : 0;
    g.k = call.dy.size(0);
    g.a = gemm_transposed(call.dy, dtype);
    g.b = through_gelu(gemm_operand(call.x, dtype), call.gelu_of_x);
    if (call.dweight.defined()) {
        g.c = call.dweight.mutable_raw();
        g.c_type = gemm_type(call.dweight.dtype());
        g.ldc = g.n;
    }
    Tensor sums;
    if (call.dbias.defined()) {
        sums = call.dbias.dtype() == DType::f32 ? call.dbias : Tensor::empty(call.dbias.shape());
        g.row_sums = sums.mutable_data<float>();
    }
    gemm(g);
    if (call.dbias.defined() && call.dbias.dtype() != DType::f32) copy(call.dbias, sums);
}

void backward(LinearBackward& call) {
    if (call.dy.dtype() == DType::f64) return backward_f64(call);
    if (call.dx.defined() && call.dx.numel() > 0) input_gradient(call);
    if (call.dweight.defined() || call.dbias.defined()) parameter_gradients(call);
}

}  // namespace

extern const LinearKernels linear_cpu;
const LinearKernels linear_cpu{forward, backward};

}  // namespace demi
