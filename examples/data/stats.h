#pragma once
// Mean and standard deviation per channel, of values in [0, 1]: what normalisation needs.
#include <array>
#include <cstdint>

#include "examples/data/dataset.h"
#include "examples/data/planes.h"

namespace demi::data {

struct ChannelStats {
    std::array<float, 3> mean{0.5f, 0.5f, 0.5f};
    std::array<float, 3> std{0.25f, 0.25f, 0.25f};
};

// Exact sums of bytes over at most `limit` images spread over the set: the same for any number of threads. A
// channel that never changes gets a standard deviation of 1/255, so nothing divides by zero.
ChannelStats channel_stats(const DataSet& data, int64_t limit = 10000);

// out[c, y, x] = (value - mean[c]) / std[c]; out has room for the whole picture.
void normalize(const Planes& planes, const ChannelStats& stats, float* out);
void normalize(const Image& image, const ChannelStats& stats, float* out);

}  // namespace demi::data
