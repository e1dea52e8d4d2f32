#pragma once
// Cross-entropy of logits against labels or probabilities, from the logits in one pass.
//   targets   labels (i64): t_c = (1 - s) [c = label] + s / C
//             probabilities p: t_c = (1 - s) p_c + s / C; s = smoothing
//   forward   loss = sum_c t_c (lse - x_c), lse = log(sum_c exp(x_c)), computed around max(x)
//   backward  dx_c = dloss (softmax(x)_c sum(t) - t_c)
//             for probabilities that need it dp_c = dloss (1 - s) (lse - x_c)
// logits [..., C]; labels [...] or probabilities [..., C] (f16, bf16, f32, f64). Any strides. The loss is f32
// (f64 for f64 logits) whatever the logits are: [...] for none, a scalar for mean and sum. Tolerance f32:
// 5e-6 sum_c t_c (1 + lse - x_c).
// Probability zero: at a logit of -inf a class with t_c = 0 adds nothing, one with t_c > 0 makes the loss
// +inf; there dp_c is 0 where p_c or dloss (1 - s) is 0, else infinite. In a row of nothing but -inf
// softmax(x) is 0: its dx is 0. NaN or +inf in a row makes its loss NaN.
// Rows labelled ignore_index give loss 0 and gradient 0 and do not count in the mean; a mean over nothing is 0. A label
// outside [0, C) throws, naming its place and value.
#include <optional>

#include "autograd/variable.h"

namespace demi {

enum class Reduction { mean, sum, none };

struct CrossEntropyOptions {
    double label_smoothing = 0;
    std::optional<int64_t> ignore_index = {};
    Reduction reduction = Reduction::mean;
};

Variable cross_entropy(const Variable& logits, const Variable& target, CrossEntropyOptions options = {});

}  // namespace demi
