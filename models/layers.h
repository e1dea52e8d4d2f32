#pragma once
// The layers of a vision transformer as plain structs: parameters, forward(), visit(). No base class. One
// that was made by its default constructor holds no parameters, and its forward() says so.
#include "models/context.h"
#include "models/parameter.h"

namespace demi {

// y = x W^T + b. weight [out, in] and bias [out] stay f32; y has x's dtype.
struct Linear {
    Variable weight, bias;  // bias may be undefined

    Linear() = default;
    Linear(int64_t in, int64_t out, bool with_bias, Generator& generator, double std = 0.02);
    Variable forward(const Variable& x) const;
    Variable forward_add(const Variable& residual, const Variable& x) const;  // residual + forward(x)
    void visit(const std::string& prefix, const ParameterVisitor& fn);
};

struct LayerNorm {
    Variable weight, bias;
    double eps = 1e-6;

    LayerNorm() = default;
    explicit LayerNorm(int64_t dim, double eps = 1e-6);
    Variable forward(const Variable& x) const;
    Variable forward_as(const Variable& x, DType dtype) const;
    std::vector<Variable> forward_branch(const Variable& x, DType dtype) const;  // {x, forward_as(x, dtype)}
    void visit(const std::string& prefix, const ParameterVisitor& fn);
};

// fc1, GELU (erf), fc2.
struct Mlp {
    Linear fc1, fc2;

    Mlp() = default;
    Mlp(int64_t dim, int64_t hidden, bool with_bias, Generator& generator);
    Variable forward(const Variable& x) const;
    Variable forward_add(const Variable& residual, const Variable& x) const;  // residual + forward(x)
    void visit(const std::string& prefix, const ParameterVisitor& fn);
};

// w12 to two halves, silu(first) * second, w3; or w1 and w2 apart, as DINOv3 names them. The constructor's hidden size is
// DINOv2's: 2/3 of `hidden`, rounded up to a multiple of 8.
struct SwiGLUFFN {
    Linear w12, w3;
    Linear w1, w2;  // instead of w12

    static int64_t hidden_size(int64_t hidden);

    SwiGLUFFN() = default;
    SwiGLUFFN(int64_t dim, int64_t hidden, bool with_bias, Generator& generator);
    // The hidden size as it is; `apart`: w1 and w2.
    static SwiGLUFFN exact(int64_t dim, int64_t hidden, bool with_bias, bool apart, Generator& generator);
    Variable forward(const Variable& x) const;
    void visit(const std::string& prefix, const ParameterVisitor& fn);
};

// Images [B, C, H, W] to tokens [B, (H/p)(W/p), D]: a convolution with kernel = stride = p, the
// patches in row-major order.
struct PatchEmbed {
    Variable weight, bias;  // [D, C, p, p], [D]: under "proj."
    int64_t patch = 0;

    PatchEmbed() = default;
    PatchEmbed(int64_t patch, int64_t channels, int64_t dim, Generator& generator);
    Variable forward(const Variable& images, DType compute) const;
    void visit(const std::string& prefix, const ParameterVisitor& fn);
};

}  // namespace demi
