#pragma once
// --distill: the frozen teacher of a run.
#include <optional>

#include "examples/data/stats.h"
#include "examples/train/options.h"
#include "models/frozen_teacher.h"

namespace demi::examples {

// Reads it, prints what it is, and makes the options fit: prototypes are those of its heads; a head of its own for masked
// patches where it has one. Without heads features are matched. Nothing without --distill.
std::optional<FrozenTeacher> open_teacher(TrainOptions& options, const data::ChannelStats& stats,
                                          int64_t channels);

// Of a part of every parameter: tells other weights of the same shapes apart.
uint64_t parameters_hash(const NamedParameters& parameters);

}  // namespace demi::examples
