#pragma once
// Features of pictures from the weights of a vision transformer.
#include <string>

#include "runtime/tensor.h"

namespace demi::examples {

struct ExtractOptions {
    std::string checkpoint, key, data, out, split, precision = "f32", boundary = "off", device = "auto";
    int64_t heads = 0, image_size = 0, layers = 1, batch = 64;
    bool skip_broken = false, exif_orientation = true;
    bool patch_mean = false, partial = false, ignore_crc = false;
};

void extract_features(const ExtractOptions& options);

// NumPy's .npy format, version 1.0, little-endian f32.
void write_npy(const std::string& path, const Tensor& tensor);

}  // namespace demi::examples
