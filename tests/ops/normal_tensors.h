#pragma once
#include "runtime/random.h"

namespace demi::test {

// Lists of normal values, the same for the same seed, for tests of optimizers.
inline std::vector<Tensor> normal_tensors(const std::vector<Shape>& shapes, DType dtype, uint64_t seed) {
    Generator generator{seed};
    std::vector<Tensor> out;
    for (const Shape& shape : shapes) out.push_back(randn(shape, generator, dtype));
    return out;
}

}  // namespace demi::test
