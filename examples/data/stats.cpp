#include "examples/data/stats.h"

#include <algorithm>
#include <cmath>

#include "runtime/check.h"
#include "runtime/parallel.h"

namespace demi::data {

ChannelStats channel_stats(const DataSet& data, int64_t limit) {
    const int64_t count = std::min(data.size(), limit);
    check(count > 0, "data", "statistics need at least one image");
    constexpr int64_t kTile = 64;
    struct Sums {
        std::array<uint64_t, 3> sum{}, square{};
    };
    std::vector<Sums> tiles(static_cast<size_t>(ceil_div(count, kTile)));
    parallel_ranges(count, kTile, [&](int64_t begin, int64_t end) {
        Sums& s = tiles[static_cast<size_t>(begin / kTile)];
        for (int64_t i = begin; i < end; ++i) {
            const Image image = data.sample(i * data.size() / count).image;
            const auto channels = static_cast<size_t>(image.channels);
            for (size_t p = 0; p < image.pixels.size(); ++p) {
                const uint64_t v = image.pixels[p];
                s.sum[p % channels] += v;
                s.square[p % channels] += v * v;
            }
        }
    });
    ChannelStats stats;
    const double n = static_cast<double>(count) * static_cast<double>(data.height() * data.width());
    for (size_t c = 0; c < static_cast<size_t>(data.channels()); ++c) {
        uint64_t sum = 0, square = 0;
        for (const Sums& s : tiles) {
            sum += s.sum[c];
            square += s.square[c];
        }
        const double mean = static_cast<double>(sum) / n;
        const double variance = std::max(static_cast<double>(square) / n - mean * mean, 0.0);
        stats.mean[c] = static_cast<float>(mean / 255);
        stats.std[c] = static_cast<float>(std::max(std::sqrt(variance), 1.0) / 255);
    }
    return stats;
}

void normalize(const Planes& planes, const ChannelStats& stats, float* out) {
    for (int64_t c = 0; c < planes.channels; ++c) {
        const float mean = stats.mean[static_cast<size_t>(c)];
        const float scale = 1 / stats.std[static_cast<size_t>(c)];
        const float* in = planes.plane(c);
        float* to = out + c * planes.area();
        for (int64_t i = 0; i < planes.area(); ++i) to[i] = (in[i] - mean) * scale;
    }
}

void normalize(const Image& image, const ChannelStats& stats, float* out) {
    normalize(to_planes(image), stats, out);
}

}  // namespace demi::data
