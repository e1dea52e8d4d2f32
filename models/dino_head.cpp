#include "models/dino_head.h"

#include <cmath>

#include "ops/elementwise/cast.h"
#include "ops/l2_normalize/l2_normalize.h"
#include "ops/linear/linear.h"
#include "ops/operators.h"

namespace demi {

DINOHead::DINOHead(const DinoHeadConfig& c, Generator& generator) {
    checked_size("dino_head", "nlayers", c.nlayers, 1000);
    checked_size("dino_head", "hidden_dim", c.hidden_dim);
    checked_size("dino_head", "bottleneck_dim", c.bottleneck_dim);
    checked_size("dino_head", "out_dim", c.out_dim);
    int64_t width = checked_size("dino_head", "in_dim", c.in_dim);
    for (int64_t i = 0; i < c.nlayers; ++i) {
        const int64_t next = i + 1 < c.nlayers ? c.hidden_dim : c.bottleneck_dim;
        mlp.emplace_back(width, next, true, generator);
        width = next;
    }
    weight_g = constant_parameter({c.out_dim, 1}, 1);
    weight_v = uniform_parameter({c.out_dim, c.bottleneck_dim}, generator,
                                 1 / std::sqrt(static_cast<double>(c.bottleneck_dim)));
}

Variable DINOHead::forward(const Variable& x, Precision precision) const {
    check_made(!mlp.empty() && weight_g.defined() && weight_v.defined(), "dino_head");
    Variable y = cast(x, compute_dtype(precision));
    for (size_t i = 0; i < mlp.size(); ++i)
        y = linear(y, mlp[i].weight, mlp[i].bias, i + 1 < mlp.size() ? Activation::gelu : Activation::none);
    y = l2_normalize(y, precision == Precision::f16 ? 1e-6 : 1e-12);
    return cast(linear(y, l2_normalize(weight_v, 1e-30) * weight_g), DType::f32);
}

void DINOHead::visit(const std::string& prefix, const ParameterVisitor& fn) {
    for (size_t i = 0; i < mlp.size(); ++i)  // a single layer stands for the whole list
        mlp[i].visit(prefix + (mlp.size() == 1 ? "mlp." : "mlp." + std::to_string(2 * i) + "."), fn);
    fn(prefix + "last_layer.weight_g", weight_g);
    fn(prefix + "last_layer.weight_v", weight_v);
}

void DINOHead::init_xavier(Generator& generator) {
    check_made(!mlp.empty() && mlp.back().weight.defined(), "dino_head");
    for (Linear& layer : mlp)
        normal(layer.weight.value(), generator, 0,
               std::sqrt(2.0 / static_cast<double>(layer.weight.size(0) + layer.weight.size(1))));
}

}  // namespace demi
