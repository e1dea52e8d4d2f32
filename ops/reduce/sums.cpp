#include "ops/reduce/sums.h"

#include "ops/elementwise/elementwise.h"
#include "ops/reduce/reduce_kernels.h"

namespace demi {
namespace {

Tensor reduce_sum(const Tensor& x, const Tensor& y, const Shape& shape, DType dtype, double scale) {
    Shape padded = shape;
    while (padded.rank() < x.rank()) padded.insert(0, 1);
    check(broadcast(padded, x.shape(), "sum") == x.shape(), "sum", "cannot sum ", x.shape(), " to ", shape);
    const bool wide =
        dtype == DType::f64 || x.dtype() == DType::f64 || (y.defined() && y.dtype() == DType::f64);
    Tensor out = Tensor::empty(padded, wide ? DType::f64 : dtype, x.device());
    if (out.numel() > 0 && x.numel() > 0) {
        DEMI_SELECT(reduce, x.device(), sum)(out, x, y, scale);
    } else {
        out = Tensor::zeros(padded, dtype, x.device());  // the sum of nothing
    }
    return out.to(dtype).view(shape);
}

}  // namespace

Tensor sum_to(const Tensor& x, const Shape& shape, DType dtype, double scale) {
    if (x.shape() == shape && scale == 1) return x.to(dtype);
    return reduce_sum(x, Tensor(), shape, dtype, scale);
}

Tensor sum_product_to(const Tensor& x, const Tensor& y, const Shape& shape, DType dtype) {
    const Shape full = broadcast(x.shape(), y.shape(), "sum");
    if (full == shape) return elementwise("mul", ElementFn::mul, {x, y}, dtype);
    return reduce_sum(x.expand(full), y.expand(full), shape, dtype, 1);
}

Tensor elementwise_to(std::string_view op, ElementFn fn, std::initializer_list<Tensor> operands,
                      const Shape& shape, DType dtype) {
    Shape full = operands.begin()->shape();
    bool wide = dtype == DType::f64;
    for (const Tensor& t : operands) {
        full = broadcast(full, t.shape(), op);
        wide = wide || t.dtype() == DType::f64;
    }
    if (full == shape) return elementwise(op, fn, operands, dtype);
    return sum_to(elementwise(op, fn, operands, wide ? DType::f64 : DType::f32), shape, dtype);
}

}  // namespace demi
