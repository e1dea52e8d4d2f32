#include "ops/matmul/matmul.h"

#include "ops/matmul/gemm_call.h"
#include "ops/op.h"
#include "runtime/copy.h"
#include "runtime/strided_of.h"

namespace demi {

static Shape leading(Shape shape) {
    shape.erase(shape.rank() - 1);
    shape.erase(shape.rank() - 1);
    return shape;
}

static bool has_rows(const GemmOperand& x, int64_t rows, int64_t columns) {
    return (columns == 1 || x.col == 1) && (rows == 1 || x.row >= columns);
}

GemmOperand gemm_operand(const Tensor& x) {
    return {reads(x), x.strides()[x.rank() - 2], x.strides()[x.rank() - 1]};
}

Tensor gemm_ready(const Tensor& x) {
    const GemmOperand o = gemm_operand(x);
    const int64_t rows = x.size(-2), columns = x.size(-1);
    const bool fits = has_rows(o, rows, columns) || has_rows({o.mem, o.col, o.row}, columns, rows);
    return x.device().is_cpu() || fits ? x : x.contiguous();
}

GemmCall gemm_call(const Tensor& a, const Tensor& b, Tensor& out) {
    GemmCall g;
    g.m = a.size(-2);
    g.n = out.defined() ? out.size(-1) : 0;
    g.k = a.size(-1);
    g.a = gemm_operand(a);
    g.b = gemm_operand(b);
    g.dtype = a.dtype();
    g.c = writes(out);
    g.ldc = g.n;
    if (a.rank() == 2) return g;
    const Shape a_steps = leading(a.strides()), b_steps = leading(b.strides());
    g.batch = strided<2>(leading(a.shape()), {&a_steps, &b_steps});
    // The batch is one tall matrix where b is shared and a's rows follow one another.
    const bool tall = g.batch.rank == 1 && g.batch.strides[1][0] == 0 &&
                      g.batch.strides[0][0] == g.m * g.a.row &&
                      (a.device().is_cpu() || (g.a.row >= g.k && has_rows(g.a, g.m, g.k)));
    if (g.batch.count > 1 && tall) {
        g.m *= g.batch.count;
        g.batch = GemmCall().batch;
    }
    return g;
}

void multiply(const GemmCall& call, Device device) { gemm_on(device).multiply(call, queue_of(device)); }

namespace {

Tensor with_leading(const Tensor& x, const Shape& batch) {
    Shape shape = batch;
    shape.push_back(x.size(-2));
    shape.push_back(x.size(-1));
    return x.expand(shape);
}

Tensor product(const Tensor& x, const Tensor& y, DType dtype) {
    Shape shape = leading(x.shape());
    shape.push_back(x.size(-2));
    shape.push_back(y.size(-1));
    Tensor out = Tensor::empty(shape, dtype, x.device());
    if (out.numel() == 0) return out;
    Tensor a = gemm_ready(x), b = gemm_ready(y);
    GemmCall call = gemm_call(a, b, out);
    if (!x.device().is_cpu() && call.batch.count > 16 * call.batch.sizes[call.batch.rank - 1]) {
        // Too many single calls: copies have one distance from each matrix to the next.
        a = a.contiguous(), b = b.contiguous();
        call = gemm_call(a, b, out);
    }
    multiply(call, x.device());
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

struct Factors {
    Tensor a, b;  // matrices with the same leading sizes
};

Factors prepare(const Tensor& a, const Tensor& b, MatmulOptions options) {
    Tensor left = a.rank() == 1 ? a.unsqueeze(0) : a, right = b.rank() == 1 ? b.unsqueeze(1) : b;
    if (options.transpose_a && a.rank() > 1) left = left.transpose(-1, -2);
    if (options.transpose_b && b.rank() > 1) right = right.transpose(-1, -2);
    const Shape batch_a = leading(left.shape()), batch_b = leading(right.shape());
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
    const Factors x = prepare(a.value(), b.value(), options);
    Tensor y = product(x.a, x.b, a.dtype());
    const Shape full = y.shape();
    Shape shape = full;
    if (b.rank() == 1) shape.erase(shape.rank() - 1);
    if (a.rank() == 1) shape.erase(b.rank() == 1 ? shape.rank() - 1 : shape.rank() - 2);
    auto backward = [left = Saved(a), right = Saved(b), options, full](const Tensor& grad,
                                                                       const Needs& needs) -> Tensors {
        const Tensor &u = left.get(), &v = right.get();
        const Factors m = prepare(u, v, options);
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
