#include "models/dino_head.h"

#include <cmath>

#include "ops/cast/cast.h"
#include "ops/l2_normalize/l2_normalize.h"
#include "ops/linear/linear.h"
#include "ops/operators.h"

namespace demi {

DINOHead::DINOHead(const DinoHeadConfig& c, Generator& generator) {
    check(c.nlayers >= 1 && c.in_dim >= 1 && c.out_dim >= 1 && c.bottleneck_dim >= 1, "dino_head",
          "nlayers and all widths must be positive: got ", c.nlayers, " layers, ", c.in_dim, ", ", c.out_dim,
          ", ", c.bottleneck_dim);
    int64_t width = c.in_dim;
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
    for (Linear& layer : mlp)
        normal(layer.weight.value(), generator, 0,
               std::sqrt(2.0 / static_cast<double>(layer.weight.size(0) + layer.weight.size(1))));
}

}  // namespace demi
