// What the class token looks at: for pictures in reports, not for training.
#include <cmath>

#include "autograd/grad_mode.h"
#include "models/block.h"
#include "ops/matmul/matmul.h"
#include "ops/operators.h"
#include "ops/softmax/softmax.h"

namespace demi {

Tensor SelfAttention::first_token_weights(const Tensor& x, const RopeGrid& grid) const {
    const NoGrad no_grad;
    check_input(x);
    const int64_t batch = x.size(0), length = x.size(1), dim = x.size(2), width = dim / heads;
    const std::vector<RopeSegment> positions =
        grid.defined() ? std::vector{grid.segment(batch)} : std::vector<RopeSegment>();
    const Tensor packed = packed_qkv(Variable(x.to(DType::f32)), positions).value();
    const Tensor q = packed.select(2, 0).slice(1, 0, 1).transpose(1, 2);   // [B, h, 1, d]
    const Tensor k = packed.select(2, 1).transpose(1, 2).transpose(2, 3);  // [B, h, d, N]
    const Variable scores = matmul(Variable(q), Variable(k)) * (1 / std::sqrt(static_cast<double>(width)));
    return softmax(scores).value().view({batch, heads, length});
}

}  // namespace demi
