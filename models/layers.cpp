#include "models/layers.h"

#include <cmath>

#include "ops/elementwise/cast.h"
#include "ops/elementwise/functions.h"
#include "ops/layernorm/layernorm.h"
#include "ops/linear/linear.h"
#include "ops/mlp/mlp.h"
#include "ops/operators.h"
#include "ops/patchify/patchify.h"
#include "ops/swiglu/swiglu.h"
#include "ops/views/views.h"

namespace demi {

Linear::Linear(int64_t in, int64_t out, bool with_bias, Generator& generator, double std)
    : weight(trunc_normal_parameter({out, in}, generator, std)) {
    if (with_bias) bias = constant_parameter({out}, 0);
}

Variable Linear::forward(const Variable& x) const {
    check_made(weight.defined(), "linear");
    return linear(x, weight, bias);
}

Variable Linear::forward_add(const Variable& residual, const Variable& x) const {
    check_made(weight.defined(), "linear");
    return linear_add(residual, x, weight, bias);
}

void Linear::visit(const std::string& prefix, const ParameterVisitor& fn) {
    fn(prefix + "weight", weight);
    if (bias.defined()) fn(prefix + "bias", bias);
}

LayerNorm::LayerNorm(int64_t dim, double epsilon)
    : weight(constant_parameter({dim}, 1)), bias(constant_parameter({dim}, 0)), eps(epsilon) {}

Variable LayerNorm::forward(const Variable& x) const {
    check_made(weight.defined(), "layernorm");
    return layernorm(x, weight, bias, eps);
}

Variable LayerNorm::forward_as(const Variable& x, DType dtype) const {
    check_made(weight.defined(), "layernorm");
    return layernorm_as(x, dtype, weight, bias, eps);
}

std::vector<Variable> LayerNorm::forward_branch(const Variable& x, DType dtype) const {
    check_made(weight.defined(), "layernorm");
    return layernorm_branch(x, dtype, weight, bias, eps);
}

void LayerNorm::visit(const std::string& prefix, const ParameterVisitor& fn) {
    fn(prefix + "weight", weight);
    fn(prefix + "bias", bias);
}

Mlp::Mlp(int64_t dim, int64_t hidden, bool with_bias, Generator& generator)
    : fc1(dim, hidden, with_bias, generator), fc2(hidden, dim, with_bias, generator) {}

Variable Mlp::forward(const Variable& x) const {
    check_made(fc1.weight.defined() && fc2.weight.defined(), "mlp");
    return mlp(x, fc1.weight, fc1.bias, fc2.weight, fc2.bias);
}

Variable Mlp::forward_add(const Variable& residual, const Variable& x) const {
    check_made(fc1.weight.defined() && fc2.weight.defined(), "mlp");
    return mlp_add(residual, x, fc1.weight, fc1.bias, fc2.weight, fc2.bias);
}

void Mlp::visit(const std::string& prefix, const ParameterVisitor& fn) {
    fc1.visit(prefix + "fc1.", fn);
    fc2.visit(prefix + "fc2.", fn);
}

int64_t SwiGLUFFN::hidden_size(int64_t hidden) {
    return (checked_size("swiglu", "hidden", hidden) * 2 / 3 + 7) / 8 * 8;
}

SwiGLUFFN::SwiGLUFFN(int64_t dim, int64_t hidden, bool with_bias, Generator& generator)
    : SwiGLUFFN(exact(dim, hidden_size(hidden), with_bias, false, generator)) {}

SwiGLUFFN SwiGLUFFN::exact(int64_t dim, int64_t hidden, bool with_bias, bool apart, Generator& generator) {
    SwiGLUFFN ffn;
    checked_size("swiglu", "hidden", hidden);
    if (apart) {
        ffn.w1 = Linear(dim, hidden, with_bias, generator);
        ffn.w2 = Linear(dim, hidden, with_bias, generator);
    } else {
        ffn.w12 = Linear(dim, 2 * hidden, with_bias, generator);
    }
    ffn.w3 = Linear(hidden, dim, with_bias, generator);
    return ffn;
}

Variable SwiGLUFFN::forward(const Variable& x) const {
    if (w1.weight.defined()) return w3.forward(silu(w1.forward(x)) * w2.forward(x));
    check_made(w12.weight.defined() && w3.weight.defined(), "swiglu");
    return w3.forward(swiglu(w12.forward(x)));
}

void SwiGLUFFN::visit(const std::string& prefix, const ParameterVisitor& fn) {
    if (w1.weight.defined()) {
        w1.visit(prefix + "w1.", fn);
        w2.visit(prefix + "w2.", fn);
    } else {
        w12.visit(prefix + "w12.", fn);
    }
    w3.visit(prefix + "w3.", fn);
}

PatchEmbed::PatchEmbed(int64_t patch_size, int64_t channels, int64_t dim, Generator& generator)
    : patch(checked_size("patch_embed", "patch", patch_size)) {
    checked_size("patch_embed", "channels", channels);
    checked_size("patch_embed", "dim", dim);
    const double side = static_cast<double>(patch), area = static_cast<double>(channels) * side * side;
    const double bound = 1 / std::sqrt(area);  // the convolution's default
    weight = uniform_parameter({dim, channels, patch, patch}, generator, bound);
    bias = uniform_parameter({dim}, generator, bound);
}

Variable PatchEmbed::forward(const Variable& images, DType compute) const {
    check_made(weight.defined() && patch >= 1, "patch_embed");
    check(images.rank() == 4 && images.size(1) == weight.size(1), "patch_embed", "needs images [B, ",
          weight.size(1), ", H, W]: got ", images.value());
    check(images.size(2) > 0 && images.size(3) > 0 && images.size(2) % patch == 0 &&
              images.size(3) % patch == 0,
          "patch_embed", "height and width must be multiples of the patch size ", patch, ": got ",
          images.shape());
    const Variable patches = cast(patchify(images, patch), compute);
    return linear(patches, reshape(weight, {weight.size(0), -1}), bias);
}

void PatchEmbed::visit(const std::string& prefix, const ParameterVisitor& fn) {
    fn(prefix + "proj.weight", weight);
    fn(prefix + "proj.bias", bias);
}

}  // namespace demi
