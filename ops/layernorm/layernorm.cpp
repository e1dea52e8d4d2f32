#include "ops/layernorm/layernorm.h"

#include "ops/elementwise/cast.h"
#include "ops/layernorm/layernorm_kernels.h"
#include "ops/op.h"
#include "runtime/copy.h"

namespace demi {
namespace {

// Whether a kernel rounds to `dtype` as it stores.
bool stores_as(const Variable& x, DType dtype) {
    return dtype == x.dtype() || (x.dtype() == DType::f32 && is_half(dtype));
}

// All of them: normalises x, or x + *residual, to `dtype`. Gives {y}, or (stream) what was normalised and y.
std::vector<Variable> norm(const char* name, const Variable& x, const Variable* residual,
                           const Variable& weight, const Variable& bias, double eps, DType dtype,
                           bool stream) {
    const Op op(name);
    const Tensor& value = op.floats("x", x);
    op.check(value.rank() >= 1, "x must have at least one dimension: got ", value);
    op.check(eps >= 0, "eps must not be negative: got ", eps);
    const DType compute = compute_dtype(value.dtype());
    const auto parameter = [&](const char* operand, const Variable& p) {
        if (!p.defined()) return Tensor();
        op.vector(operand, p.value(), value);
        return p.value().to(compute).contiguous();
    };
    const Tensor in = value.contiguous(), w = parameter("weight", weight), b = parameter("bias", bias);
    Tensor added, sum;
    if (residual != nullptr) {
        op.same_shape("x", value, "residual", residual->value());
        op.same_dtype("x", value, "residual", residual->value());
        op.same_device("x", value, "residual", residual->value());
        added = residual->value().contiguous();
        sum = Tensor::like(in);
    }
    const int64_t rows = row_count(in), width = in.size(-1);
    Tensor y = Tensor::empty(in.shape(), dtype, in.device());
    Tensor stats = Tensor::empty({rows, 4}, compute, in.device());
    if (rows > 0)
        layernorm_on(in.device())
            .forward({reads(in), reads(added), reads(w), reads(b), writes(sum), writes(y), writes(stats),
                      rows, width, eps},
                     queue_of(in));

    std::vector<Variable> inputs{x};
    if (residual != nullptr) inputs.push_back(*residual);
    const size_t first = inputs.size();  // parameter
    inputs.insert(inputs.end(), {weight, bias});
    Tensors values{y};
    if (stream) values.insert(values.begin(), residual != nullptr ? sum : value);
    return op.record(
        inputs, std::move(values),
        [x = Saved(residual != nullptr ? sum : in), weight = Saved(w), stats = Saved(stats), rows, width,
         first, weight_dtype = weight.defined() ? weight.dtype() : DType::f32,
         bias_dtype = bias.defined() ? bias.dtype() : DType::f32](std::span<const Tensor> grads,
                                                                  const Needs& needs) -> Tensors {
            Tensors out(needs.size());
            Tensor dx = grads[0], dweight, dbias;
            if (grads.back().defined()) {  // else only the stream was used
                const Tensor from = x, dy = grads.back().contiguous();
                const Tensor dsum =
                    grads.size() == 2 && grads[0].defined() ? grads[0].contiguous() : Tensor();
                dx = needs[0] || needs[first - 1] ? Tensor::like(from) : Tensor();
                if (needs[first] || needs[first + 1]) {
                    dweight = Tensor::empty({width}, compute_dtype(from.dtype()), from.device());
                    dbias = Tensor::like(dweight);
                }
                if (rows > 0 && (dx.defined() || dweight.defined())) {
                    layernorm_on(from.device())
                        .backward({reads(from), reads(weight), reads(stats), reads(dy), reads(dsum),
                                   writes(dx), writes(dweight), writes(dbias), rows, width},
                                  queue_of(from));
                } else if (dweight.defined()) {
                    fill(dweight, 0);
                    fill(dbias, 0);
                }
            }
            for (size_t i = 0; i < first; ++i)
                if (needs[i]) out[i] = dx;
            if (needs[first] && dweight.defined()) out[first] = dweight.to(weight_dtype);
            if (needs[first + 1] && dbias.defined()) out[first + 1] = dbias.to(bias_dtype);
            return out;
        });
}

}  // namespace

Variable layernorm(const Variable& x, const Variable& weight, const Variable& bias, double eps) {
    return layernorm_as(x, x.dtype(), weight, bias, eps);
}

Variable layernorm_as(const Variable& x, DType dtype, const Variable& weight, const Variable& bias,
                      double eps) {
    if (!stores_as(x, dtype)) return cast(layernorm(x, weight, bias, eps), dtype);
    return norm("layernorm", x, nullptr, weight, bias, eps, dtype, false)[0];
}

std::vector<Variable> layernorm_branch(const Variable& x, DType dtype, const Variable& weight,
                                       const Variable& bias, double eps) {
    const bool stores = stores_as(x, dtype);
    std::vector<Variable> both =
        norm("layernorm", x, nullptr, weight, bias, eps, stores ? dtype : x.dtype(), true);
    if (!stores) both[1] = cast(both[1], dtype);
    return both;
}

std::vector<Variable> add_layernorm(const Variable& x, const Variable& residual, const Variable& weight,
                                    const Variable& bias, double eps) {
    return norm("add_layernorm", x, &residual, weight, bias, eps, x.dtype(), true);
}

}  // namespace demi
