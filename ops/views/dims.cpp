#include "ops/views/dims.h"

#include <algorithm>

#include "runtime/check.h"

namespace demi {

Shape keep_reduced(std::string_view op, const Shape& shape, const Dims& dims) {
    Shape out = shape;
    std::vector<int> seen;
    for (int dim : dims) {
        const int d = normalize_dim(dim, shape.rank(), op);
        check(std::find(seen.begin(), seen.end(), d) == seen.end(), op, "dimension ", dim, " is named twice");
        seen.push_back(d);
        out[d] = 1;
    }
    for (int d = 0; dims.empty() && d < out.rank(); ++d) out[d] = 1;
    return out;
}

Shape drop_reduced(const Shape& shape, const Dims& dims) {
    Shape out;
    for (int d = 0; d < shape.rank(); ++d) {
        const bool dropped = dims.empty() || std::find(dims.begin(), dims.end(), d) != dims.end() ||
                             std::find(dims.begin(), dims.end(), d - shape.rank()) != dims.end();
        if (!dropped) out.push_back(shape[d]);
    }
    return out;
}

}  // namespace demi
