#pragma once
// Mixup and cutmix of a finished batch: every picture takes a part of a partner's picture and of its label.
#include "examples/data/batches.h"

namespace demi::data {

void check_options(const MixOptions& options);

// images[i] = mixup: l * images[i] + (1 - l) * images[partner]; cutmix: a box of the partner, l the share
// that stays. targets[i] = l * onehot(labels[i]) + (1 - l) * onehot(labels[partner]), smoothed. One l for the
// batch; the partner of i is count - 1 - i.
void mix_batch(Batch& batch, int64_t classes, const MixOptions& options, KeyedRng& rng);

}  // namespace demi::data
