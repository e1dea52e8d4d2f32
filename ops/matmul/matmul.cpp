#include "ops/matmul/matmul.h"

#include "ops/matmul/matmul_kernels.h"
#include "ops/op.h"
#include "runtime/copy.h"

namespace demi {
namespace {

Shape leading(const Tensor& x) {
    Shape shape = x.shape();
    shape.erase(shape.rank() - 1);
    shape.erase(shape.rank() - 1);
    return shape;
}

Tensor with_leading(const Tensor& x, const Shape& batch) {
    Shape shape = batch;
    shape.push_back(x.size(-2));
    shape.push_back(x.size(-1));
    return x.expand(shape);
}

Tensor product(const Tensor& x, const Tensor& y, DType dtype) {
    Shape shape = leading(x);
    shape.push_back(x.size(-2));
    shape.push_back(y.size(-1));
    Tensor out = Tensor::empty(shape, dtype, x.device());
    DEMI_SELECT(matmul, x.device(), product)(x, y, out);
    return out;
}

// x [batch, p, q] as [p, batch * q]: a copy only where strides demand it.
Tensor batch_into_columns(const Tensor& x) {
    std::vector<int> order{x.rank() - 2};
    for (int d = 0; d < x.rank() - 2; ++d) order.push_back(d);
    order.push_back(x.rank() - 1);
    const int64_t p = x.size(-2);
    return x.permute(std::span<const int>(order)).reshape({p, p == 0 ? 0 : x.numel() / p});
}

// x y, summed over leading dimensions until it has `shape`; x and y have the same leading sizes.
Tensor summed_product(const Tensor& x, const Tensor& y, const Shape& shape, DType dtype) {
    Shape target = shape;
    while (target.rank() < x.rank()) target.insert(0, 1);
    bool same = true, single = true;
    for (int d = 0; d < x.rank() - 2; ++d) {
        same = same && target[d] == x.size(d);
        single = single && target[d] == 1;
    }
    if (same) return product(x, y, dtype).view(shape);
    if (single) {
        // The sum over the batch is part of the sum over the inner dimension.
        const Tensor tall = batch_into_columns(y.transpose(-1, -2)).transpose(0, 1);
        return product(batch_into_columns(x), tall, dtype).view(shape);
    }
    Tensor sum = product(x, y, dtype == DType::f64 ? DType::f64 : DType::f32);
    for (int d = 0; d < x.rank() - 2; ++d) {
        if (target[d] == sum.size(d)) continue;
        Shape smaller = sum.shape();
        smaller[d] = 1;
        Tensor next = Tensor::zeros(smaller, sum.dtype(), sum.device());
        for (int64_t i = 0; i < sum.size(d); ++i) accumulate(next, sum.slice(d, i, i + 1));
        sum = next;
    }
    return sum.to(dtype).view(shape);
}

struct Operands {
    Tensor a, b;  // matrices with the same leading sizes
};

Operands prepare(const Tensor& a, const Tensor& b, MatmulOptions options) {
    Tensor left = a.rank() == 1 ? a.unsqueeze(0) : a, right = b.rank() == 1 ? b.unsqueeze(1) : b;
    if (options.transpose_a && a.rank() > 1) left = left.transpose(-1, -2);
    if (options.transpose_b && b.rank() > 1) right = right.transpose(-1, -2);
    const Shape batch_a = leading(left), batch_b = leading(right);
    bool fits = left.size(-1) == right.size(-2);
    for (int i = 1; i <= std::min(batch_a.rank(), batch_b.rank()); ++i) {
        const int64_t x = batch_a[batch_a.rank() - i], y = batch_b[batch_b.rank() - i];
        fits = fits && (x == y || x == 1 || y == 1);
    }
    check(fits, "matmul", "a [..., m, k] and b [..., k, n] must agree in k and in the leading sizes: got ",
          a.shape(), options.transpose_a ? " transposed" : "", " and ", b.shape(),
          options.transpose_b ? " transposed" : "");
    const Shape batch = broadcast(batch_a, batch_b, "matmul");
    return {with_leading(left, batch), with_leading(right, batch)};
}

}  // namespace

Variable matmul(const Variable& a, const Variable& b, MatmulOptions options) {
    const Op op("matmul");
    op.floats("a", a);
    op.floats("b", b);
    op.same_device("a", a.value(), "b", b.value());
    op.same_dtype("a", a.value(), "b", b.value());
    op.check(a.rank() >= 1 && b.rank() >= 1, "a and b must have at least one dimension: got ", a.shape(),
             " and ", b.shape());
    const Operands x = prepare(a.value(), b.value(), options);
    Tensor y = product(x.a, x.b, a.dtype());
    const Shape full = y.shape();
    Shape shape = full;
    if (b.rank() == 1) shape.erase(shape.rank() - 1);
    if (a.rank() == 1) shape.erase(b.rank() == 1 ? shape.rank() - 1 : shape.rank() - 2);
    auto backward = [left = Saved(a), right = Saved(b), options, full](const Tensor& grad,
                                                                       const Needs& needs) -> Tensors {
        const Tensor &u = left.get(), &v = right.get();
        const Operands m = prepare(u, v, options);
        const Tensor dy = grad.reshape(full), dyt = dy.transpose(-1, -2);
        Tensors grads(2);
        // A transposed operand gets the transposed product: in its own order, without a copy.
        if (needs[0])
            grads[0] = options.transpose_a && u.rank() > 1
                           ? summed_product(m.b, dyt, u.shape(), u.dtype())
                           : summed_product(dy, m.b.transpose(-1, -2), u.shape(), u.dtype());
        if (needs[1])
            grads[1] = options.transpose_b && v.rank() > 1
                           ? summed_product(dyt, m.a, v.shape(), v.dtype())
                           : summed_product(m.a.transpose(-1, -2), dy, v.shape(), v.dtype());
        return grads;
    };
    return op.record({a, b}, y.view(shape), backward);
}

}  // namespace demi
