#include "ops/elementwise/arithmetic.h"

#include "ops/elementwise/elementwise.h"
#include "ops/reduce/sums.h"

namespace demi {
namespace {

// An op of a tensor and a number: y = fn(x, p), dx = dy for a sum, else grad_fn(dy, p).
Variable with_number(const char* name, ElementFn fn, const Variable& x, double p, ElementFn grad_fn) {
    const Op op(name);
    Tensor y = elementwise(name, fn, {float_value(name, x)}, x.dtype(), p);
    return op.record({x}, y, [=](const Tensor& dy, const Needs&) -> Tensors {
        return {grad_fn == ElementFn::add_scalar ? dy : elementwise(name, grad_fn, {dy}, dy.dtype(), p)};
    });
}

// maximum, or with `smaller` minimum.
Variable extreme(const char* name, ElementFn fn, const Variable& a, const Variable& b, bool smaller) {
    const Op op(name);
    op.check(a.defined() && b.defined(), "needs defined tensors: got ", a.value(), " and ", b.value());
    const DType dtype = promote(a.dtype(), b.dtype());
    const Tensor x = promoted(a.value(), dtype), z = promoted(b.value(), dtype);
    return op.record(
        {a, b}, elementwise(name, fn, {x, z}, dtype),
        [=, saved_a = Saved(x), saved_b = Saved(z)](const Tensor& dy, const Needs& needs) -> Tensors {
            const auto grad = [&](const Tensor& own, const Tensor& other) {
                const Tensor &high = smaller ? other : own, &low = smaller ? own : other;
                return elementwise_to(name, ElementFn::greater_grad, {dy, high, low}, own.shape(),
                                      own.dtype());
            };
            const Tensor &va = saved_a, &vb = saved_b;
            return {needs[0] ? grad(va, vb) : Tensor(), needs[1] ? grad(vb, va) : Tensor()};
        });
}

}  // namespace

Variable add(const Variable& a, const Variable& b) {
    const Op op("add");
    const DType dtype = result_dtype("add", a, b);
    return op.record(
        {a, b}, elementwise("add", ElementFn::add, {a.value(), b.value()}, dtype),
        [sa = a.shape(), sb = b.shape(), ta = a.dtype(), tb = b.dtype()](const Tensor& dy,
                                                                         const Needs& needs) -> Tensors {
            return {needs[0] ? sum_to(dy, sa, ta) : Tensor(), needs[1] ? sum_to(dy, sb, tb) : Tensor()};
        });
}
Variable add(const Variable& a, double b) {
    return with_number("add", ElementFn::add_scalar, a, b, ElementFn::add_scalar);
}

Variable sub(const Variable& a, const Variable& b) {
    const Op op("sub");
    const DType dtype = result_dtype("sub", a, b);
    return op.record({a, b}, elementwise("sub", ElementFn::sub, {a.value(), b.value()}, dtype),
                     [sa = a.shape(), sb = b.shape(), ta = a.dtype(),
                      tb = b.dtype()](const Tensor& dy, const Needs& needs) -> Tensors {
                         return {needs[0] ? sum_to(dy, sa, ta) : Tensor(),
                                 needs[1] ? elementwise_to("sub", ElementFn::neg, {dy}, sb, tb) : Tensor()};
                     });
}
Variable sub(const Variable& a, double b) {
    return with_number("sub", ElementFn::add_scalar, a, -b, ElementFn::add_scalar);
}
Variable sub(double a, const Variable& b) {
    return with_number("sub", ElementFn::rsub, b, a, ElementFn::neg);
}

Variable mul(const Variable& a, const Variable& b) {
    const Op op("mul");
    const DType dtype = result_dtype("mul", a, b);
    // each gradient needs the other operand
    const Saved saved_a = b.requires_grad() ? Saved(a) : Saved();
    const Saved saved_b = a.requires_grad() ? Saved(b) : Saved();
    return op.record({a, b}, elementwise("mul", ElementFn::mul, {a.value(), b.value()}, dtype),
                     [=, sa = a.shape(), sb = b.shape(), ta = a.dtype(),
                      tb = b.dtype()](const Tensor& dy, const Needs& needs) -> Tensors {
                         return {needs[0] ? sum_product_to(dy, saved_b, sa, ta) : Tensor(),
                                 needs[1] ? sum_product_to(dy, saved_a, sb, tb) : Tensor()};
                     });
}
Variable mul(const Variable& a, double b) {
    return with_number("mul", ElementFn::mul_scalar, a, b, ElementFn::mul_scalar);
}

Variable div(const Variable& a, const Variable& b) {
    const Op op("div");
    const DType dtype = result_dtype("div", a, b);
    const Saved saved_a = b.requires_grad() ? Saved(a) : Saved();
    return op.record(
        {a, b}, elementwise("div", ElementFn::div, {a.value(), b.value()}, dtype),
        [saved_a, saved_b = Saved(b), sa = a.shape(), sb = b.shape(), ta = a.dtype(),
         tb = b.dtype()](const Tensor& dy, const Needs& needs) -> Tensors {
            Tensors grads(2);
            if (needs[0]) grads[0] = elementwise_to("div", ElementFn::div, {dy, saved_b}, sa, ta);
            if (needs[1])
                grads[1] = elementwise_to("div", ElementFn::div_grad, {dy, saved_a, saved_b}, sb, tb);
            return grads;
        });
}
Variable div(const Variable& a, double b) {
    return with_number("div", ElementFn::div_scalar, a, b, ElementFn::div_scalar);
}
Variable div(double a, const Variable& b) {
    const Op op("div");
    Tensor y = elementwise("div", ElementFn::rdiv, {float_value("div", b)}, b.dtype(), a);
    return op.record({b}, y, [a, saved = Saved(b)](const Tensor& dy, const Needs&) -> Tensors {
        return {elementwise("div", ElementFn::rdiv_grad, {dy, saved}, dy.dtype(), a)};
    });
}

Variable maximum(const Variable& a, const Variable& b) {
    return extreme("maximum", ElementFn::maximum, a, b, false);
}
Variable maximum(const Variable& a, const Number& b) { return maximum(a, number_beside("maximum", b, a)); }
Variable maximum(const Number& a, const Variable& b) { return maximum(number_beside("maximum", a, b), b); }
Variable minimum(const Variable& a, const Variable& b) {
    return extreme("minimum", ElementFn::minimum, a, b, true);
}
Variable minimum(const Variable& a, const Number& b) { return minimum(a, number_beside("minimum", b, a)); }
Variable minimum(const Number& a, const Variable& b) { return minimum(number_beside("minimum", a, b), b); }

}  // namespace demi
