#pragma once
// The losses of DINOv2 and the targets that its teacher makes. All in f32; targets carry no graph. K is at
// least 1. Without rows the targets are empty, centers stay as they are, and a loss is 0 with a gradient of
// no rows (KoLeo refuses). A temperature that is a LiveNumber may differ in each replay of a captured step.
#include <functional>

#include "autograd/variable.h"
#include "runtime/capture.h"

namespace demi {

// softmax((t - center) / temp) over the last dimension. t [n, K], center [1, K].
Tensor softmax_center(const Tensor& teacher, const Tensor& center, const LiveNumber& temp);

// Sinkhorn-Knopp: Q = exp(t / temp) scaled so that, alternately, every prototype gets the same weight over
// the rows and every row sums to 1; `iterations` times. The row maximum is taken out first, which changes
// nothing but the range.
Tensor sinkhorn_knopp(const Tensor& teacher, const LiveNumber& temp, int iterations = 3);

// From f64 [own shards, columns], those of all shards of the batch, in order: [S, columns].
using OverShards = std::function<Tensor(const Tensor& own)>;
// The same on a batch that is cut into shards, of which this rank has some: prototypes' sums and the number of rows are
// those of the whole batch, added in the order of the shards. Targets of the own shards.
std::vector<Tensor> sinkhorn_knopp(const std::vector<Tensor>& teacher, double temp, int iterations,
                                   const OverShards& over);

// center <- momentum * center + (1 - momentum) * mean over rows of t.
void update_center(Tensor center, const Tensor& teacher, double momentum = 0.9);
void update_center(Tensor center, const std::vector<Tensor>& teacher, double momentum,
                   const OverShards& over);

// sum over all pairs (s, t) of -mean over rows of sum_k t_k log_softmax(s / temp)_k. One element.
Variable dino_loss(const std::vector<Variable>& students, const std::vector<Tensor>& targets,
                   double student_temp = 0.1);

// The same on masked patches, each weighted by 1 / (masked patches of its image), summed, over the number of
// images. student [n, K], targets [n, K] in the order of the true entries of masks [B, N] (bool).
Variable ibot_loss(const Variable& student, const Tensor& targets, const Tensor& masks,
                   double student_temp = 0.1);
// The same with nothing read back: `weights` f32 [n], mask_weights() of the masks (models/mask_generator.h).
Variable ibot_loss(const Variable& student, const Tensor& targets, const Tensor& weights, int64_t images,
                   double student_temp = 0.1);

// -mean log(|x^ - nearest(x^) + eps| + eps), x^ the rows of x normalised, nearest by dot product. x [B, D];
// needs at least two rows. Identical rows give a large finite value.
Variable koleo_loss(const Variable& x, double eps = 1e-8);

}  // namespace demi
