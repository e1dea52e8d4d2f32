#pragma once
// The kernels behind adamw, sgd, ema and grad_norm: one call works on a whole list of tensors.
#include "runtime/backends.h"

namespace demi {

// Tensors that belong together, contiguous, each with `count` elements: f64, or f16, bf16, f32.
struct ListEntry {
    void* data[4];
    int64_t count;
    const double* factor;  // null, or a number on the device; where it is not finite the entry is left alone
    DType dtype[2];        // of data[0] and data[1]; optimizer state is f32, f64 beside f64
    bool aligned;          // all of data start 16-byte lines
    int32_t group;         // entries of a group have the same numbers
};
struct ListChunk {
    int32_t entry, number;  // elements [number * chunk_size, (number + 1) * chunk_size) of an entry
};
// Lies in the device's memory. Chunks are cut from the sizes only; tile t has the chunks [tiles[t], tiles[t + 1]).
struct TensorList {
    const ListEntry* entries;
    const ListChunk* chunks;
    const int64_t* tiles;
    int64_t chunk_count, tile_count, chunk_size;
};

// How many groups a call may have.
constexpr int kMaxListGroups = 55;

// data: parameter, gradient, exp_avg, exp_avg_sq.
struct AdamwNumbers {
    double decay, beta1_rest, beta2, beta2_rest, step_size, root_correction, eps, grad_scale;
};

// data: parameter, gradient, momentum buffer (null without momentum).
struct SgdNumbers {
    double lr, weight_decay, momentum, nesterov, grad_scale;
};

template <class Numbers> struct GroupedStep {
    TensorList list;
    const Numbers* groups;  // on the host
    int group_count;
    const Numbers* live;  // null, or in place of groups in the device's memory
};
using AdamwStep = GroupedStep<AdamwNumbers>;
using SgdStep = GroupedStep<SgdNumbers>;

// data: average, source.
struct EmaUpdate {
    TensorList list;
    double momentum;
};

// data[0]: the gradients, in groups of chunks that follow one another; group g ends before chunk ends[g].
// result[g] = norm = sqrt(sum of squares) * multiplier and result[groups + g] = multiplier * min(1, limit / (norm + 1e-6)),
// without the second factor where limit is 0; all of these NaN where any norm is not finite.
struct GradNorms {
    static constexpr int kMaxGroups = 64;
    TensorList list;
    double multiplier, limit;
    const double* live_multiplier;  // null, or where on the device it is to be read
    int64_t groups;
    int64_t ends[kMaxGroups];
    double* result;
};
struct ScaleTensors {
    TensorList list;
    double factor;
};
struct FindNotFinite {
    TensorList list;
    uint32_t* bad;  // becomes 1 where anything is infinite or NaN
};

struct OptimizerKernels {
    void (*adamw)(const AdamwStep& call, Queue queue);
    void (*sgd)(const SgdStep& call, Queue queue);
    void (*ema)(const EmaUpdate& call, Queue queue);
    void (*grad_norms)(const GradNorms& call, Queue queue);
    void (*scale)(const ScaleTensors& call, Queue queue);
    void (*find_not_finite)(const FindNotFinite& call, Queue queue);
};
DEMI_BACKENDS(OptimizerKernels, optimizer)

}  // namespace demi
