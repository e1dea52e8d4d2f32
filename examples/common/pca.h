#pragma once

// Patch features as colours, for the report.

#include <cstdint>
#include <vector>

namespace demi::examples {

// Projects `count` rows of `dim` features, less their mean, on their first three principal components and
// stretches each component so that its 2nd and 98th percentile become 0 and 1. Returns [count][3]. Give all
// patches of all pictures at once: then like colours mean like features across pictures. The same input gives
// the same colours; values that are not finite count as 0, and a component without variance becomes 0.5.
std::vector<float> pca_colours(const float* features, int64_t count, int64_t dim);

}  // namespace demi::examples
