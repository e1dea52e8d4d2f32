#pragma once
// Features of pictures from the weights of a vision transformer.
#include <string>

#include "examples/train/watch.h"

namespace demi::examples {

struct ExtractOptions {
    std::string checkpoint, key, data, out, split, precision = "f32", boundary = "off", device = "auto";
    // N: the last N blocks; a list: those, from 0, negative from the end ("5," is one).
    std::string layers = "1";
    int64_t heads = 0;              // 0: as the checkpoint says
    int64_t image_size = 0;         // height; 0: the training size, or 224 where that is larger
    int64_t image_width = 0;        // 0: the height
    int64_t resize = 0, batch = 0;  // 0: by the size of the pictures
    int64_t workers = 1;            // threads that decode ahead
    std::string framing = "square", filter = "bicubic";  // framing.h
    bool patch_mean = false, patch_tokens = false, registers = false, attention = false;
    bool skip_broken = false, exif_orientation = true, partial = false, ignore_crc = false;
    bool resume = true;  // goes on from what an interrupted run left
    Watch watch = {};    // called after each batch
};

// Writes `out`: .safetensors, or .npy with a .json beside it and a file more for each further output. Until it is whole
// there is `out`.partial instead, from which the same call goes on. Returns 0, or 128 + the signal that stopped it.
int extract_features(const ExtractOptions& options);

}  // namespace demi::examples
