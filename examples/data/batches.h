#pragma once
// The ready-made ways to fill a Batch: supervised (with optional mixup and cutmix),
// multi-crop, plain for evaluation.
#include "examples/data/augment.h"
#include "examples/data/loader.h"
#include "examples/data/multicrop.h"

namespace demi::data {

struct MixOptions {
    float mixup_alpha = 0;   // lambda ~ Beta(alpha, alpha); 0: off
    float cutmix_alpha = 0;  // both on: each batch takes one of them
    float smoothing = 0;     // label smoothing of the soft targets
    bool any() const { return mixup_alpha > 0 || cutmix_alpha > 0; }
};

// images and labels; targets too where mixing is on. Sample i of epoch e draws from the key (seed, e, i).
MakeBatch supervised_batches(DataSetPtr data, const ChannelStats& stats, const AugmentOptions& augment,
                             uint64_t seed, const MixOptions& mix = {});

// global_crops and local_crops; labels come along for reports.
MakeBatch multicrop_batches(DataSetPtr data, const ChannelStats& stats, const MulticropOptions& options,
                            uint64_t seed);

// Samples [begin, end) without augmentation, in parallel, on the calling thread's pool.
Batch plain_batch(const DataSet& data, const ChannelStats& stats, int64_t begin, int64_t end);

}  // namespace demi::data
