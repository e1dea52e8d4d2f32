#pragma once
#include "runtime/backends.h"

namespace demi {

// Contiguous: logits [rows, width], and either labels i64 [rows] or target [rows, width] in f32 (f64 for f64 logits). At
// least one element.
struct CrossEntropyRows {
    ConstMem logits, labels, target;
    int64_t rows, width;
    double smoothing;
    int64_t ignored;
    bool ignores;  // labels equal to `ignored` do not count
};
// losses, row_max and log_sum = log(sum exp(x - row_max)): [rows] in the dtype of target; so are all below but dlogits.
struct CrossEntropyForward : CrossEntropyRows {
    Mem losses, row_max, log_sum;
};
struct CrossEntropyBackward : CrossEntropyRows {
    ConstMem row_max, log_sum, dloss;
    bool one_dloss;        // for all rows
    double scale;          // dloss counts `scale` times
    Mem dlogits, dtarget;  // absent where not wanted
};
// found[0]: place of the first label outside [0, classes) or -1; found[1]: labels that are not ignored.
struct CrossEntropyInspect {
    const int64_t* labels;
    int64_t count, classes, ignored;
    bool ignores;
    int64_t* found;
};
// out = scale * sum of losses, added in f64.
struct CrossEntropyTotal {
    ConstMem losses;
    Mem out;
    int64_t count;
    double scale;
};
struct CrossEntropyKernels {
    void (*inspect)(const CrossEntropyInspect& call, Queue queue);
    void (*forward)(const CrossEntropyForward& call, Queue queue);
    void (*backward)(const CrossEntropyBackward& call, Queue queue);
    void (*total)(const CrossEntropyTotal& call, Queue queue);
};
DEMI_BACKENDS(CrossEntropyKernels, cross_entropy)

}  // namespace demi
