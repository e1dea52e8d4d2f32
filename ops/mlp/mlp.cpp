#include "ops/mlp/mlp.h"

#include "ops/elementwise/arithmetic.h"
#include "ops/linear/layer.h"

namespace demi {
namespace {

// On the CPU h = gelu(u) is not stored where the second layer reads each value of it only a few times: it is
// taken again while u is packed for the products.
constexpr int64_t kManyRows = 384, kFewOutputs = 512;

bool keeps_hidden(const Tensor& rows, const Tensor& w2) {
    return !rows.device().is_cpu() || rows.dtype() == DType::f64 || rows.size(0) <= kManyRows ||
           w2.size(0) > kFewOutputs;
}

Tensor value_of(const Variable& x) { return x.defined() ? x.value().contiguous() : Tensor(); }

LayerForward layer(const Tensor& x, const Tensor& weight, const Tensor& bias) {
    LayerForward call;
    call.x = x;
    call.weight = weight;
    call.bias = bias;
    call.y = Tensor::empty({x.size(0), weight.size(0)}, x.dtype(), x.device());
    return call;
}

Tensor run(LayerForward& call) {
    run_layer(call);
    return call.y;
}

struct Saves {
    Saved rows, w1, w2, u, h;  // h only where it is kept
    Tensor read1, read2;       // the weights as the products read them
    Shape shape;
    Tensor bias1, bias2;
    bool keeps, adds;

    Tensors backward(const Tensor& dy, const Needs& needs) const {
        const size_t at1 = 3, at2 = bias1.defined() ? 4 : 3;
        const bool want_b1 = bias1.defined() && needs[at1], want_b2 = bias2.defined() && needs[at2];
        const Tensor &original1 = w1, &original2 = w2;  // asked for even where unused: unchanged since
        LayerBackward second, first;
        second.x = keeps ? h.get() : u.get();
        second.gelu_of_x = !keeps;
        second.weight = read2;
        second.dy = as_rows(dy).contiguous();
        const bool reach_first = needs[0] || needs[1] || want_b1;
        if (reach_first) {
            if (keeps) second.x_pre = u;
            second.dx = Tensor::like(second.x);
        }
        if (needs[2]) second.dweight = Tensor::like(original2);
        if (want_b2) second.dbias = Tensor::like(bias2);
        run_layer(second);
        first.x = rows;
        first.weight = read1;
        first.dy = second.dx;
        if (needs[0]) first.dx = Tensor::like(first.x);
        if (needs[1]) first.dweight = Tensor::like(original1);
        if (want_b1) first.dbias = Tensor::like(bias1);
        if (reach_first) run_layer(first);
        Tensors grads{needs[0] ? first.dx.view(shape) : Tensor(), first.dweight, second.dweight};
        if (bias1.defined()) grads.push_back(first.dbias);
        if (bias2.defined()) grads.push_back(second.dbias);
        if (adds) grads.push_back(dy);
        return grads;
    }
};

Variable two_layers(const Op& op, const Variable& x, const Variable& w1, const Variable& b1,
                    const Variable& w2, const Variable& b2, const Variable& residual) {
    op.floats("x", x);
    op.check(x.rank() >= 1, "x must have at least one dimension: got ", x.shape());
    const Tensor bias1 = value_of(b1), bias2 = value_of(b2);
    check_layer(op, "w1", "b1", x.value(), x.shape().back(), w1.value(), bias1);
    check_layer(op, "w2", "b2", x.value(), w1.size(0), w2.value(), bias2);
    const Shape out_shape = with_last(x.shape(), w2.size(0));

    std::vector<Variable> inputs{x, w1, w2};
    if (b1.defined()) inputs.push_back(b1);
    if (b2.defined()) inputs.push_back(b2);
    const bool adds = residual.defined();
    if (adds) inputs.push_back(residual);

    const Tensor rows = as_rows(x.value());
    const bool keeps = keeps_hidden(rows, w2.value());
    LayerForward first = layer(rows, w1.value(), bias1);
    first.gelu = keeps;
    if (keeps && needs_grad(inputs)) first.pre = Tensor::like(first.y);
    LayerForward second = layer(run(first), w2.value(), bias2);
    second.gelu_of_x = !keeps;
    if (adds) second.residual = as_rows(checked_residual(op, x.value(), out_shape, residual.value()));
    const Tensor y = run(second).view(out_shape);

    Saves saves{rows,
                w1,
                w2,
                keeps ? first.pre : first.y,
                keeps ? first.y : Tensor(),
                first.weight,
                second.weight,
                x.shape(),
                bias1,
                bias2,
                keeps,
                adds};
    return op.record(inputs, y, [saves = std::move(saves)](const Tensor& dy, const Needs& needs) {
        return saves.backward(dy, needs);
    });
}

}  // namespace

Variable mlp(const Variable& x, const Variable& w1, const Variable& b1, const Variable& w2,
             const Variable& b2) {
    return two_layers(Op("mlp"), x, w1, b1, w2, b2, {});
}

Variable mlp_add(const Variable& residual, const Variable& x, const Variable& w1, const Variable& b1,
                 const Variable& w2, const Variable& b2) {
    check(residual.defined(), "mlp_add", "needs a residual: got an undefined tensor");
    if (!x.device().is_cpu()) return add(residual, mlp(x, w1, b1, w2, b2));
    return two_layers(Op("mlp_add"), x, w1, b1, w2, b2, residual);
}

}  // namespace demi
