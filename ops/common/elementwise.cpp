#include "ops/common/elementwise.h"

#include <cmath>
#include <limits>

#include "ops/common/elementwise_kernels.h"
#include "runtime/profile.h"

namespace demi {

static bool fits_f32(double p) {
    using Limits = std::numeric_limits<float>;
    const double a = std::fabs(p);
    return p == 0 || !std::isfinite(p) || (a >= double{Limits::min()} && a <= double{Limits::max()});
}

Tensor elementwise(std::string_view op, ElementFn fn, std::initializer_list<Tensor> operands, DType dtype,
                   double p, double q) {
    const Tensor& first = *operands.begin();
    Shape shape = first.shape();
    bool wide = dtype == DType::f64 || (scales(fn) && !fits_f32(p));
    for (const Tensor& t : operands) {
        check(t.defined(), op, "needs defined tensors: got an undefined one");
        check(t.device() == first.device(), op, "operands must be on one device: got ", first, " and ", t);
        shape = broadcast(shape, t.shape(), op);
        wide = wide || t.dtype() == DType::f64;
    }
    Tensor out = Tensor::empty(shape, wide && is_float(dtype) ? DType::f64 : dtype, first.device());
    if (out.numel() > 0) {
        std::vector<Tensor> in;
        for (const Tensor& t : operands) in.push_back(t.expand(shape));
        DEMI_SELECT(elementwise, first.device(), apply)(fn, out, in, p, q);
    }
    return out.to(dtype);
}

Tensor promoted(const Tensor& operand, DType dtype) {
    return is_half(dtype) && !is_float(operand.dtype()) ? operand.to(dtype) : operand;
}

Variable unary(std::string_view op, ElementFn fn, ElementFn grad_fn, const Variable& x, bool save_result,
               double p, double q) {
    const ProfileScope scope(op);
    Tensor y = elementwise(op, fn, {float_value(op, x)}, x.dtype(), p, q);
    const Saved saved = save_result ? Saved(y) : Saved(x);
    return record(op, {x}, y, [=, name = std::string(op)](const Tensor& dy, const Needs&) -> Tensors {
        return {elementwise(name, grad_fn, {dy, saved.get()}, dy.dtype(), p, q)};
    });
}

const Tensor& float_value(std::string_view op, const Variable& x) {
    check(x.defined() && is_float(x.dtype()), op, "needs a floating-point tensor: got ", x.value());
    return x.value();
}

DType result_dtype(std::string_view op, const Variable& a, const Variable& b) {
    check(a.defined() && b.defined(), op, "needs defined tensors: got ", a.value(), " and ", b.value());
    const DType dtype = promote(a.dtype(), b.dtype());
    check(is_float(dtype), op, "needs a floating-point tensor: got ", a.value(), " and ", b.value());
    return dtype;
}

}  // namespace demi
