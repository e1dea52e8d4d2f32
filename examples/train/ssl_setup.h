#pragma once
// What train_dinov2 makes of its options, and the curves of its report.
#include "examples/common/report.h"
#include "examples/data/multicrop.h"
#include "examples/data/open.h"
#include "examples/train/ssl_evaluation.h"
#include "models/ssl_meta_arch.h"

namespace demi::examples {

SslConfig ssl_config(const TrainOptions& options, const ViTConfig& backbone);
// Crops for pictures of this size, cut to whole numbers of patches.
data::MulticropOptions ssl_crops(const TrainOptions& options, int64_t image_size,
                                 const data::OpenedData& data);

std::string describe(const data::MulticropOptions& crops);
std::string ssl_summary(const SslScores& scores);  // of what was measured; "" for nothing
std::vector<Tile> ssl_tiles(const SslScores& scores, const RunClock& clock, int64_t steps,
                            int64_t peak_bytes);
std::vector<Chart> ssl_charts(const std::vector<Record>& records, const SslScores& scores,
                              int64_t prototypes);
// Warnings for the report: a loss that never left ln K.
std::vector<std::string> ssl_notes(const std::vector<Record>& records, int64_t prototypes);

}  // namespace demi::examples
