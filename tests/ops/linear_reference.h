#pragma once
#include <Eigen/Core>

#include "tests/support/array.h"

namespace demi::test {

// x [..., in] w^T + b, through gelu where asked for.
inline Array linear_reference(const Array& x, const Array& w, const Array* b, bool gelu) {
    using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    Shape shape = x.shape;
    const int64_t in = shape.back(), out = w.shape[0];
    shape[shape.rank() - 1] = out;
    Array y(shape);
    if (y.numel() == 0) return y;
    const int64_t rows = y.numel() / out;
    Eigen::Map<Rows> product(y.data.data(), rows, out);
    product = Eigen::Map<const Rows>(x.data.data(), rows, in) *
              Eigen::Map<const Rows>(w.data.data(), out, in).transpose();
    if (b != nullptr) product.rowwise() += Eigen::Map<const Eigen::RowVectorXd>(b->data.data(), out);
    return gelu ? map(y, [](double a) { return 0.5 * a * std::erfc(-a / std::sqrt(2.0)); }) : y;
}

}  // namespace demi::test
