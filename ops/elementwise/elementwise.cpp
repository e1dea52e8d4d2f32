#include "ops/elementwise/elementwise.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/strided_of.h"

namespace demi {
namespace {

bool fits_f32(double p) {
    using Limits = std::numeric_limits<float>;
    const double a = std::fabs(p);
    return p == 0 || !std::isfinite(p) || (a >= double{Limits::min()} && a <= double{Limits::max()});
}

DType compute_type(ElementKind kind, const Tensor& out, const std::vector<Tensor>& in) {
    const auto is_f64 = [](const Tensor& t) { return t.dtype() == DType::f64; };
    const auto has_float = [](const Tensor& t) { return is_float(t.dtype()); };
    if (is_f64(out) || std::any_of(in.begin(), in.end(), is_f64)) return DType::f64;
    return kind == ElementKind::whole && std::none_of(in.begin(), in.end(), has_float) ? DType::i64
                                                                                       : DType::f32;
}

}  // namespace

void elementwise_into(Tensor& out, ElementFn fn, const std::vector<Tensor>& in, double p, double q) {
    ElementCall call{};
    call.fn = fn;
    call.compute = compute_type(traits_of(fn).kind, out, in);
    call.p = p, call.q = q;
    call.out = writes(out);
    std::array<const Shape*, 4> steps;
    steps.fill(&out.strides());
    bool flat = out.is_contiguous();  // a walk of one dimension
    for (size_t k = 0; k < in.size(); ++k) {
        call.in[k] = reads(in[k]);
        steps[k + 1] = &in[k].strides();
        flat = flat && in[k].is_contiguous();
    }
    if (flat) {
        call.rank = 1;
        call.count = call.sizes[0] = out.numel();
        for (auto& s : call.strides) s[0] = 1;
    } else {
        static_cast<Strided<4>&>(call) = strided<4>(out.shape(), steps);
    }
    elementwise_on(out.device()).apply(call, queue_of(out));
}

Tensor elementwise(std::string_view op, ElementFn fn, std::initializer_list<Tensor> operands, DType dtype,
                   double p, double q) {
    const Tensor& first = *operands.begin();
    const ElementKind kind = traits_of(fn).kind;
    Shape shape = first.shape();
    bool in_f64 = dtype == DType::f64 || (kind == ElementKind::scales && !fits_f32(p));
    for (const Tensor& t : operands) {
        check(t.defined(), op, "needs defined tensors: got an undefined one");
        check(t.device() == first.device(), op, "operands must be on one device: got ", first, " and ", t);
        shape = broadcast(shape, t.shape(), op);
        in_f64 = in_f64 || t.dtype() == DType::f64;
    }
    Tensor out = Tensor::empty(shape, in_f64 && is_float(dtype) ? DType::f64 : dtype, first.device());
    if (out.numel() > 0) {
        std::vector<Tensor> in;
        in.reserve(operands.size());
        for (const Tensor& t : operands) {
            in.push_back(t.shape() == shape ? t : t.expand(shape));
            if (kind == ElementKind::own) in.back() = in.back().contiguous();
        }
        elementwise_into(out, fn, in, p, q);
    }
    return out.to(dtype);
}

Tensor promoted(const Tensor& operand, DType dtype) {
    return is_half(dtype) && !is_float(operand.dtype()) ? operand.to(dtype) : operand;
}

Variable unary(const char* name, ElementFn fn, ElementFn grad_fn, const Variable& x, Saves saves, double p,
               double q) {
    const Op op(name);
    const Tensor& value = traits_of(fn).kind == ElementKind::own ? op.floats("x", x) : float_value(name, x);
    Tensor y = elementwise(name, fn, {value}, x.dtype(), p, q);
    const Saved saved = saves == Saves::y ? Saved(y) : Saved(x);
    return op.record(x, y, [=](const Tensor& dy) {
        return elementwise(name, grad_fn, {dy, saved.get()}, dy.dtype(), p, q);
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
