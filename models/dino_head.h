#pragma once
// The projection head of DINO (dinov2/layers/dino_head.py): an MLP with GELU to a bottleneck, L2
// normalisation, and a weight-normalised linear layer to `out_dim` prototypes: y = x^ (g * v / |v|)^T.
#include "models/layers.h"

namespace demi {

struct DinoHeadConfig {
    int64_t in_dim = 384;
    int64_t out_dim = 65536;
    int64_t hidden_dim = 2048;
    int64_t bottleneck_dim = 256;
    int64_t nlayers = 3;
};

struct DINOHead {
    // "mlp.0", "mlp.2", ...: the odd places are the activations; "mlp" where it is one
    std::vector<Linear> mlp;
    Variable weight_g, weight_v;  // "last_layer.weight_g" [K, 1], "last_layer.weight_v" [K, bottleneck]

    DINOHead() = default;
    DINOHead(const DinoHeadConfig& config, Generator& generator);
    // [n, in] -> [n, K], f32; n may be 0.
    Variable forward(const Variable& x, Precision precision = Precision::f32) const;
    void visit(const std::string& prefix, const ParameterVisitor& fn);
    // Xavier-normal linear layers, for narrow heads.
    void init_xavier(Generator& generator);
};

}  // namespace demi
