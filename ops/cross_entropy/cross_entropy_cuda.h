#pragma once
// The launches behind cross_entropy: the contract of cross_entropy_kernels.h on pointers; null where
// undefined.
#include "runtime/cuda/gpu_types.h"

namespace demi::gpu_kernels {

struct CrossEntropyRows {
    const void* logits;
    const int64_t* labels;
    const void* target;
    int64_t rows, width;
    double smoothing;
    int64_t ignored;
    bool ignores;  // labels equal to `ignored` do not count
};
struct CrossEntropyForwardCall {
    CrossEntropyRows in;
    void *losses, *row_max, *log_sum;
};
struct CrossEntropyBackwardCall {
    CrossEntropyRows in;
    const void *row_max, *log_sum, *dloss;
    bool one_dloss;  // for all rows
    double scale;
    void *dlogits, *dtarget;
};
void cross_entropy_forward(DType type, const CrossEntropyForwardCall& call, gpu::Stream stream);
void cross_entropy_backward(DType type, const CrossEntropyBackwardCall& call, gpu::Stream stream);

// found[0]: place of the first label outside [0, classes) or -1; found[1]: labels that are not ignored.
struct InspectLabels {
    const int64_t* labels;
    int64_t count, classes, ignored;
    bool ignores;
    int64_t* found;
};
void inspect_labels(const InspectLabels& call, gpu::Stream stream);

// out = scale * sum, added in f64; f32 or f64.
struct TotalCall {
    const void* losses;
    void* out;
    int64_t count;
    double scale;
};
void cross_entropy_total(DType type, const TotalCall& call, gpu::Stream stream);

}  // namespace demi::gpu_kernels
