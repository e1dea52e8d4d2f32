#pragma once
// Contract: contiguous; logits and dlogits [rows, classes]; either labels i64 [rows] or target [rows,
// classes]; target, losses, row_max, log_sum, dtarget in f32 (f64 for f64 logits); dloss of one element or
// one per row, same dtype. log_sum = log(sum exp(x - row_max)).
#include <optional>

#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct CrossEntropyForward {
    Tensor logits, labels, target;
    double smoothing = 0;
    std::optional<int64_t> ignore_index;
    Tensor losses, row_max, log_sum;  // results
};
struct CrossEntropyBackward {
    Tensor logits, labels, target, row_max, log_sum, dloss;
    double smoothing = 0, scale = 1;  // dloss counts `scale` times
    std::optional<int64_t> ignore_index;
    Tensor dlogits, dtarget;  // results; undefined where not wanted
};
struct CrossEntropyLabels {
    int64_t first_bad = -1;  // place of the first label outside [0, classes), -1 when all are good
    int64_t kept = 0;        // labels that are not ignored
};
struct CrossEntropyKernels {
    CrossEntropyLabels (*inspect)(const Tensor& labels, int64_t classes,
                                  std::optional<int64_t> ignore) = nullptr;
    void (*forward)(CrossEntropyForward& call) = nullptr;
    void (*backward)(CrossEntropyBackward& call) = nullptr;
    void (*total)(const Tensor& losses, double scale,
                  Tensor& out) = nullptr;  // out = scale * sum, added in f64
};
DEMI_KERNEL_TABLES(CrossEntropyKernels, cross_entropy)

}  // namespace demi
