#pragma once
// What a file with a network says beside the parameters, so that other programs can use it: heads, size of
// pictures, interpolation of positions, how pictures were normalised, and what a classifier's outputs mean.
#include <optional>

#include "examples/data/stats.h"
#include "models/pretrained/pretrained.h"
#include "runtime/safetensors.h"

namespace demi::examples {

Metadata model_metadata(const std::string& program, const ViTConfig& config, const data::ChannelStats& stats);
// The names of a classifier's outputs, beside these.
void add_classes(Metadata& metadata, const std::vector<std::string>& classes);

// Colours of ImageNet, which released networks have seen.
inline constexpr data::ChannelStats kImagenetColours{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};

// How the weights' own training normalised pictures, where they say it.
std::optional<data::ChannelStats> stats_of(const WeightsConfig& config);

// The network of a checkpoint with its weights; prints what was found and what was loaded.
DinoVisionTransformer load_backbone(const Pretrained& weights, bool partial);

// "  55 of 55 parameters loaded; ..."
void print_report(const NamedParameters& parameters, const PretrainedReport& report);

struct ConvertOptions {
    std::string in, out, to = "meta", key;
    int64_t heads = 0;
    bool partial = false, ignore_crc = false;
};
// Writes the network of a checkpoint as safetensors, under the names of `to`.
void convert(const ConvertOptions& options);

}  // namespace demi::examples
