#pragma once
// Features from a checkpoint: reads the model's sizes off the tensors' shapes.
#include <string>

#include "models/vision_transformer.h"

namespace demi::examples {

struct ExtractOptions {
    std::string checkpoint, data, out, split, precision = "f32", device = "auto";
    int64_t heads = 0, image_size = 0, layers = 1, batch = 64;
    bool patch_mean = false;
};

// The configuration that fits the checkpoint; throws Error for a file without a vision
// transformer in it. Names may begin with "module.", "teacher.", "student." and "backbone.";
// `prefix` receives what stands before ours.
ViTConfig config_of_checkpoint(const SafetensorsFile& file, int64_t heads, std::string& prefix);

void extract_features(const ExtractOptions& options);

// NumPy's .npy format, version 1.0, little-endian f32.
void write_npy(const std::string& path, const Tensor& tensor);

}  // namespace demi::examples
