// Products, norms, losses, random ops, pictures, and the kernels of the optimizers.
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/dropout/drop_path.h"
#include "ops/dropout/dropout.h"
#include "ops/interpolate_bicubic/interpolate_bicubic.h"
#include "ops/l2_normalize/l2_normalize.h"
#include "ops/layer_scale/layer_scale.h"
#include "ops/layernorm/layernorm.h"
#include "ops/linear/inference_mode.h"
#include "ops/linear/linear.h"
#include "ops/matmul/matmul.h"
#include "ops/mlp/mlp.h"
#include "ops/optimizer/adamw.h"
#include "ops/optimizer/ema.h"
#include "ops/optimizer/grad_norm.h"
#include "ops/optimizer/sgd.h"
#include "ops/patchify/patchify.h"
#include "ops/rope/rope.h"
#include "ops/softmax/softmax.h"
#include "tests/misuse/walk.h"

namespace demi::test {
namespace {

void product_walks(Walks& walks) {
    walks.add(
        "matmul",
        [](Variable a, Variable b, bool ta, bool tb) {
            return matmul(a, b, {ta, tb});
        },
        variable({2, 3}), variable({3, 4}), false, false);
    walks.add(
        "InferenceMode::InferenceMode linear",
        [](Variable x, Variable w, Variable b, Activation a) {
            const InferenceMode inference;
            use(linear(x, w, b, a));
            return linear(x, w, b, a);
        },
        variable({2, 3}), variable({2, 3}), variable({2}), Activation::gelu);
    walks.add(
        "linear", [](Variable x, Variable w, Variable b, Activation a) { return linear(x, w, b, a); },
        variable({2, 3}), variable({4, 3}), variable({4}), Activation::gelu);
    walks.add(
        "linear_add", [](Variable r, Variable x, Variable w, Variable b) { return linear_add(r, x, w, b); },
        variable({2, 4}), variable({2, 3}), variable({4, 3}), variable({4}));
    walks.add(
        "mlp", [](Variable x, Variable w, Variable b, Variable v, Variable c) { return mlp(x, w, b, v, c); },
        variable({2, 3}), variable({4, 3}), variable({4}), variable({5, 4}), variable({5}));
    walks.add(
        "mlp_add",
        [](Variable r, Variable x, Variable w, Variable b, Variable v, Variable c) {
            return mlp_add(r, x, w, b, v, c);
        },
        variable({2, 5}), variable({2, 3}), variable({4, 3}), variable({4}), variable({5, 4}), variable({5}));
}

void rope_walks(Walks& walks) {
    walks.add(
        "rope rope_in_place",
        [](Variable x, Tensor table, int64_t sequences, int64_t prefix) {
            const std::vector<RopeSegment> segments{{table, sequences, prefix}};
            use(rope(x, segments));
            return rope_in_place(x.detach().value().clone(), segments);
        },
        variable({2, 4, 3, 2, 4}), tensor({2, 3, 2}), 2, 1);
}

void norm_walks(Walks& walks) {
    walks.add(
        "layernorm", [](Variable x, Variable w, Variable b, double eps) { return layernorm(x, w, b, eps); },
        variable({2, 3}), variable({3}), variable({3}), 1e-6);
    walks.add(
        "layernorm_as",
        [](Variable x, DType t, Variable w, Variable b, double eps) { return layernorm_as(x, t, w, b, eps); },
        variable({2, 3}), DType::f16, variable({3}), variable({3}), 1e-6);
    walks.add(
        "add_layernorm",
        [](Variable x, Variable r, Variable w, Variable b, double eps) {
            return add_layernorm(x, r, w, b, eps);
        },
        variable({2, 3}), variable({2, 3}), variable({3}), variable({3}), 1e-6);
    walks.add(
        "layernorm_branch",
        [](Variable x, DType t, Variable w, Variable b, double eps) {
            return layernorm_branch(x, t, w, b, eps);
        },
        variable({2, 3}), DType::f16, variable({3}), variable({3}), 1e-6);
    walks.add(
        "layer_scale", [](Variable x, Variable g) { return layer_scale(x, g); }, variable({2, 3}),
        variable({3}));
    walks.add(
        "layer_scale_add", [](Variable r, Variable x, Variable g) { return layer_scale_add(r, x, g); },
        variable({2, 3}), variable({2, 3}), variable({3}));
    walks.add(
        "softmax", [](Variable x, int d) { return softmax(x, d); }, variable({2, 3}), 1);
    walks.add(
        "log_softmax", [](Variable x, int d) { return log_softmax(x, d); }, variable({2, 3}), 1);
    walks.add(
        "l2_normalize", [](Variable x, double eps) { return l2_normalize(x, eps); }, variable({2, 3}), 1e-12);
}

void loss_walks(Walks& walks) {
    const auto loss = [](Variable x, Variable t, double smoothing, std::optional<int64_t> ignore,
                         Reduction reduction) {
        return cross_entropy(x, t, {smoothing, ignore, reduction});
    };
    walks.add("cross_entropy", loss, variable({2, 3}), Variable(indices({0, 2})), 0.1,
              std::optional<int64_t>(), Reduction::mean);
    walks.add("cross_entropy", loss, variable({2, 3}), variable({2, 3}), 0.1, std::optional<int64_t>(),
              Reduction::none);
    const auto drop = [](auto op) {
        return [op](Variable x, double p, Generator g, bool training) { return op(x, p, g, training); };
    };
    walks.add("dropout", drop(dropout), variable({2, 3}), 0.5, Generator{1}, true);
    walks.add("drop_path", drop(drop_path), variable({2, 3}), 0.5, Generator{1}, true);
}

void picture_walks(Walks& walks) {
    walks.add(
        "patchify", [](Variable x, int64_t p) { return patchify(x, p); }, variable({1, 3, 4, 4}), 2);
    walks.add(
        "unpatchify",
        [](Variable x, int64_t c, int64_t h, int64_t w, int64_t p) { return unpatchify(x, c, h, w, p); },
        variable({1, 4, 12}), 3, 4, 4, 2);
    walks.add(
        "interpolate_bicubic",
        [](Variable x, int64_t h, int64_t w, double sh, double sw, bool anti) {
            return interpolate_bicubic(x, h, w, {sh, sw, anti});
        },
        variable({1, 2, 3, 4}), 5, 2, 0.0, 0.0, false);
    walks.add(
        "interpolate_bicubic_rows",
        [](Variable x, int64_t ih, int64_t iw, int64_t h, int64_t w, double sh, double sw, bool anti) {
            return interpolate_bicubic_rows(x, ih, iw, h, w, {sh, sw, anti});
        },
        variable({6, 4}), 2, 3, 5, 2, 0.0, 0.0, true);
}

// What a step of an optimizer is given: numbers of the tensor first, then those of all.
void optimizer_walks(Walks& walks) {
    walks.add(
        "adamw",
        [](Tensor p, Tensor g, Tensor m, Tensor v, double lr, double decay, int64_t step, Tensor factor,
           double b1, double b2, double eps, double scale) {
            const AdamwTensor one{p, g, m, v, lr, decay, step, factor};
            adamw(std::span(&one, 1), {b1, b2, eps, scale});
            adamw({}, {});
        },
        tensor({2, 3}), tensor({2, 3}), tensor({2, 3}), tensor({2, 3}), 1e-3, 0.1, 1, Tensor(), 0.9, 0.999,
        1e-8, 1.0);
    walks.add(
        "sgd",
        [](Tensor p, Tensor g, Tensor b, double lr, double decay, Tensor factor, double momentum,
           bool nesterov, double scale) {
            const SgdTensor one{p, g, b, lr, decay, factor};
            sgd(std::span(&one, 1), {momentum, nesterov, scale});
            sgd({}, {});
        },
        tensor({2, 3}), tensor({2, 3}), tensor({2, 3}), 1e-3, 0.1, Tensor(), 0.9, false, 1.0);
    walks.add(
        "ema", [](Tensors a, Tensors b, double momentum) { ema(a, b, momentum); }, Tensors{tensor({2, 3})},
        Tensors{tensor({2, 3})}, 0.9);
    walks.add(
        "grad_norm grads_finite", [](Tensors g) { return grads_finite(g) ? grad_norm(g) : 0; },
        Tensors{tensor({2, 3})});
    walks.add(
        "clip_factor", [](double norm, double most) { return clip_factor(norm, most); }, 2.0, 1.0);
    walks.add(
        "clip_grad_norm", [](Tensors g, double most) { return clip_grad_norm(g, most); },
        Tensors{tensor({2, 3})}, 1.0);
    walks.add(
        "scale_grads", [](Tensors g, double by) { scale_grads(g, by); }, Tensors{tensor({2, 3})}, 2.0);
    walks.add(
        "grad_factors",
        [](Tensors g, int groups, double multiplier, double most, Device device) {
            const std::vector<Tensors> all(static_cast<size_t>(groups < 0     ? 0
                                                               : groups > 300 ? 300
                                                                              : groups),
                                           g);
            return grad_factors(all, multiplier, most, device);
        },
        Tensors{tensor({2, 3})}, 1, 1.0, 1.0, Device());
}

}  // namespace

void layer_op_walks(Walks& walks) {
    product_walks(walks);
    norm_walks(walks);
    rope_walks(walks);
    loss_walks(walks);
    picture_walks(walks);
    optimizer_walks(walks);
}

}  // namespace demi::test
