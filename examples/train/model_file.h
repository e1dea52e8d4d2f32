#pragma once
// What a file with a network says beside the parameters, so that other programs can use it: heads, size of
// pictures, interpolation of positions, and how pictures were normalised.
#include <optional>

#include "examples/data/stats.h"
#include "models/vision_transformer.h"
#include "runtime/safetensors.h"

namespace demi::examples {

Metadata model_metadata(const std::string& program, const ViTConfig& config, const data::ChannelStats& stats);

// What the metadata says of it; fields that are not there stay as they are.
void read_model_metadata(const Metadata& metadata, ViTConfig& config);
std::optional<data::ChannelStats> stats_of(const Metadata& metadata);

// Throws, with the name of the tensor, when one of them holds NaN or infinity: nothing that is computed from
// it is worth having.
void check_finite(const NamedParameters& parameters, const std::string& path);

// --init-from: copies what fits by name and prints what did not. Throws when nothing did.
void init_parameters(const NamedParameters& parameters, const std::string& path);

}  // namespace demi::examples
