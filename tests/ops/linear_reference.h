#pragma once
#include "tests/support/array.h"

namespace demi::test {

// x [..., in] w^T + b, through gelu where asked for.
inline Array linear_reference(const Array& x, const Array& w, const Array* b, bool gelu) {
    Shape shape = x.shape;
    const int64_t in = shape.back(), out = w.shape[0];
    shape[shape.rank() - 1] = out;
    Array y(shape);
    for (int64_t i = 0; i < (out == 0 ? 0 : y.numel() / out); ++i)
        for (int64_t j = 0; j < out; ++j) {
            double sum = b != nullptr ? (*b)[j] : 0;
            for (int64_t k = 0; k < in; ++k) sum += x[i * in + k] * w[j * in + k];
            y[i * out + j] = gelu ? 0.5 * sum * std::erfc(-sum / std::sqrt(2.0)) : sum;
        }
    return y;
}

}  // namespace demi::test
