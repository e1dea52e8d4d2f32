#pragma once
// What train_dinov2 makes of its options, and the curves of its report.
#include "examples/common/report.h"
#include "examples/data/multicrop.h"
#include "examples/train/options.h"
#include "models/ssl_meta_arch.h"

namespace demi::examples {

SslConfig ssl_config(const TrainOptions& options, const ViTConfig& backbone);
// Crops for pictures of this size, cut to whole numbers of patches.
data::MulticropOptions ssl_crops(const TrainOptions& options, int64_t image_size, bool flip);
std::vector<Chart> ssl_charts(const std::vector<Record>& records, double knn_pixels, double knn_untrained);

}  // namespace demi::examples
