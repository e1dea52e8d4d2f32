#pragma once
// What is computed of each picture, and where it lies in its record.
#include <string>
#include <vector>

#include "examples/data/framing.h"
#include "examples/data/stats.h"
#include "examples/features/extract.h"
#include "models/vision_transformer.h"

namespace demi::examples {

// One array of the result: [pictures, shape...], values [begin, begin + numel) of each record.
struct FeatureOutput {
    std::string name;  // "features", "registers", "patches", "attention"
    Shape shape;       // of one picture
    int64_t begin = 0;
};

struct FeaturePlan {
    std::vector<int64_t> layers;  // rising, from 0
    data::FramingOptions framing;
    data::ChannelStats stats;
    std::vector<FeatureOutput> outputs;
    int64_t values = 0;         // of a record
    std::string columns;        // JSON: what each column of "features" is, and the axes of the others
    std::string preprocessing;  // JSON: all that happens to a picture before the network
};

// Throws where options ask for what the network or the size of the pictures cannot give. Stats come later: a network
// may need those of the pictures.
// `trained`: the size of pictures in training.
FeaturePlan make_plan(const ExtractOptions& options, const ViTConfig& config, int64_t trained);
void set_stats(FeaturePlan& plan, const data::ChannelStats& stats, const ExtractOptions& options);

// images [B, C, H, W], normalised -> [B, plan.values] on the CPU.
Tensor compute_features(const DinoVisionTransformer& model, const Tensor& images, const FeaturePlan& plan,
                        const ExtractOptions& options, const ForwardContext& context);

}  // namespace demi::examples
