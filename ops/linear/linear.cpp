#include "ops/linear/linear.h"

#include "ops/elementwise/arithmetic.h"
#include "ops/elementwise/elementwise.h"
#include "ops/linear/layer.h"
#include "ops/matmul/gemm_call.h"

namespace demi {
namespace {

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

// On a GPU parameters in f32 beside a 16-bit x are rounded before the product, weight and bias in one launch.
void round_parameters(LayerForward& call) {
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

void check_parameter(const Op& op, std::string_view name, const Tensor& p, const Tensor& x) {
    op.check(p.dtype() == x.dtype() || (p.dtype() == DType::f32 && is_half(x.dtype())), name,
             " must have x's dtype ", x.dtype(), is_half(x.dtype()) ? " or f32" : "", ": got ", p.dtype());
}

// Sizes, dtypes and devices of a layer of x [..., in].
void check_layer(const Op& op, const LayerOperands& layer, const Tensor& x, int64_t in) {
    const Tensor &weight = layer.weight.value(), &bias = layer.bias.value();
    op.floats(layer.weight_name, weight);
    op.same_device("x", x, layer.weight_name, weight);
    op.check(weight.rank() == 2 && weight.size(1) == in, layer.weight_name, " must be [out, ", in,
             "] for an input of ", x.shape(), ": got ", weight.shape());
    check_parameter(op, layer.weight_name, weight, x);
    if (!bias.defined()) return;
    op.floats(layer.bias_name, bias);
    op.same_device("x", x, layer.bias_name, bias);
    op.check(bias.rank() == 1 && bias.size(0) == weight.size(0), layer.bias_name, " must be [",
             weight.size(0), "]: got ", bias.shape());
    check_parameter(op, layer.bias_name, bias, x);
}

// x [..., in] as [rows, in].
Tensor as_rows(const Tensor& x) {
    const int64_t in = x.shape().back();
    if (x.rank() == 2) return x;
    int64_t rows = 1;
    for (int d = 0; d + 1 < x.rank(); ++d) rows = checked_mul(rows, x.size(d), "linear");
    return x.reshape({rows, in});
}

// On the CPU h = gelu(u) is not stored where the second layer reads each value of it only a few times: it is
// taken again while u is packed for the products.
bool keeps_hidden(const Tensor& rows, const Variable& weight) {
    constexpr int64_t kManyRows = 384, kFewOutputs = 512;
    return !rows.device().is_cpu() || rows.dtype() == DType::f64 || rows.size(0) <= kManyRows ||
           weight.size(0) > kFewOutputs;
}

// What backward needs of a layer.
struct SavedLayer {
    Saved x, weight, pre;  // pre: the value before gelu, where y went through it
    Tensor read;           // the weight as products read it
    Tensor bias;
    bool gelu_of_x;
};

// dx from dy, the gradient of x weight^T + bias. Where x_pre is defined, x = gelu(x_pre), and where gelu was taken of x as it
// was read, dx is the gradient of what gelu is taken of.
void input_gradient(const SavedLayer& layer, const Tensor& dy, const Tensor& x_pre, Tensor& dx) {
    if (dx.numel() == 0) return;
    const bool cpu = dy.device().is_cpu();
    const Tensor weight = cpu ? layer.read : gemm_ready(layer.read.to(dy.dtype()));
    GemmCall g = gemm_call(dy, weight, dx);
    if (cpu) g.gelu_grad_of = reads(layer.gelu_of_x ? layer.x.get() : x_pre);
    multiply(g, dy.device());
    if (!cpu && x_pre.defined()) elementwise_into(dx, ElementFn::gelu_grad, {dx, x_pre});
}

// What is undefined is not wanted.
void parameter_gradients(const SavedLayer& layer, const Tensor& dy, Tensor dweight, Tensor dbias) {
    if (!dweight.defined() && !dbias.defined()) return;
    const Tensor x = gemm_ready(layer.x);
    GemmCall g = gemm_call(dy.transpose(0, 1), x, dweight);
    g.b.gelu = layer.gelu_of_x;
    g.row_sums = writes(dbias);
    multiply(g, dy.device());
}

Tensors backward(const std::vector<SavedLayer>& layers, const Shape& shape, bool adds, const Tensor& dy,
                 const Needs& needs) {
    std::vector<size_t> biases;  // their places among the inputs; 0: undefined
    size_t place = layers.size();
    for (const SavedLayer& layer : layers) {
        biases.push_back(layer.bias.defined() ? ++place : 0);
        (void)layer.x.get(), (void)layer.weight.get();  // must not have changed, even where they are not used
    }
    const auto wants_bias = [&](size_t i) { return biases[i] > 0 && needs[biases[i]]; };
    Tensors grads(needs.size());
    if (adds) grads.back() = dy;
    Tensor d = as_rows(dy).contiguous();  // the gradient of what a layer gives before gelu
    const Tensor& pre = layers.back().pre;
    if (pre.defined()) d = elementwise("gelu", ElementFn::gelu_grad, {d, pre}, d.dtype());
    for (size_t i = layers.size(); i-- > 0;) {
        const SavedLayer& layer = layers[i];
        bool wants_input = needs[0];
        for (size_t j = 0; j < i; ++j) wants_input = wants_input || needs[1 + j] || wants_bias(j);
        Tensor dx = wants_input ? Tensor::like(layer.x) : Tensor();
        if (wants_input) input_gradient(layer, d, i > 0 ? layers[i - 1].pre.get() : Tensor(), dx);
        if (needs[1 + i]) grads[1 + i] = Tensor::like(layer.weight);
        if (wants_bias(i)) grads[biases[i]] = Tensor::like(layer.bias);
        parameter_gradients(layer, d, grads[1 + i], wants_bias(i) ? grads[biases[i]] : Tensor());
        if (!wants_input) return grads;
        d = dx;
    }
    grads[0] = d.view(shape);
    return grads;
}

}  // namespace

Variable layers(const Op& op, const Variable& x, std::initializer_list<LayerOperands> operands, bool gelu,
                const Variable& residual) {
    op.floats("x", x);
    op.check(x.rank() >= 1, "x must have at least one dimension: got ", x.shape());
    std::vector<Variable> inputs{x};
    Shape shape = x.shape();
    int64_t& width = shape[x.rank() - 1];
    for (const LayerOperands& layer : operands) {
        check_layer(op, layer, x.value(), width);
        width = layer.weight.size(0);
        inputs.push_back(layer.weight);
    }
    for (const LayerOperands& layer : operands)
        if (layer.bias.defined()) inputs.push_back(layer.bias);
    LayerForward call;
    if (residual.defined()) {
        inputs.push_back(residual);
        op.same_device("x", x.value(), "residual", residual.value());
        op.same_dtype("x", x.value(), "residual", residual.value());
        op.check(residual.shape() == shape, "the residual must have the result's shape ", shape, ": got ",
                 residual.shape());
    }
    call.y = as_rows(x.value());
    const bool recorded = needs_grad(inputs), keeps = keeps_hidden(call.y, std::rbegin(operands)->weight);
    std::vector<SavedLayer> saved;
    for (const LayerOperands& layer : operands) {
        const bool first = saved.empty(), last = saved.size() + 1 == operands.size();
        const Tensor bias = layer.bias.defined() ? layer.bias.value().contiguous() : Tensor();
        call.x = call.y;
        call.weight = layer.weight.value();
        call.bias = bias;
        call.gelu = last ? gelu : keeps;
        call.gelu_of_x = !first && !keeps;
        if (last && residual.defined()) call.residual = as_rows(residual.value().contiguous());
        call.y = Tensor::empty({call.x.size(0), layer.weight.size(0)}, x.dtype(), x.device());
        call.pre = call.gelu && recorded ? Tensor::like(call.y) : Tensor();
        run_layer(call);
        saved.push_back({call.x, layer.weight, call.pre, call.weight, bias, call.gelu_of_x});
    }
    return op.record(inputs, call.y.view(shape),
                     [saved = std::move(saved), shape = x.shape(),
                      adds = residual.defined()](const Tensor& dy, const Needs& needs) {
                         return backward(saved, shape, adds, dy, needs);
                     });
}

Variable linear(const Variable& x, const Variable& weight, const Variable& bias, Activation activation) {
    return layers(Op("linear"), x, {{"weight", "bias", weight, bias}}, activation == Activation::gelu, {});
}

Variable linear_add(const Variable& residual, const Variable& x, const Variable& weight,
                    const Variable& bias) {
    check(residual.defined(), "linear_add", "needs a residual: got an undefined tensor");
    if (!x.device().is_cpu()) return add(residual, linear(x, weight, bias));
    return layers(Op("linear_add"), x, {{"weight", "bias", weight, bias}}, false, residual);
}

}  // namespace demi
