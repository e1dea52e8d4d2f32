#include "ops/elementwise/compare.h"

#include <limits>

#include "ops/elementwise/elementwise.h"

namespace demi {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A number as a tensor beside `other`.
Tensor tensor_of(std::string_view op, const Operand& operand, const Operand& other) {
    if (!operand.is_number()) return operand.variable().value();
    const Variable& beside = other.variable();
    check(beside.defined(), op, "needs a defined tensor: got ", beside.value(), " and ", operand.number());
    const DType whole = operand.number().is_whole() ? DType::i64 : DType::f64;
    return operand.number().tensor(op, is_float(beside.dtype()) ? beside.dtype() : whole, beside.device());
}

// fn(a, b), or fn(b, a).
Tensor compare(const char* op, ElementFn fn, const Operand& a, const Operand& b, bool turned = false) {
    const Op scope(op);
    check(!a.is_number() || !b.is_number(), op, "needs a tensor: got two numbers");
    Tensor x = tensor_of(op, a, b), y = tensor_of(op, b, a);
    check(x.defined() && y.defined(), op, "needs defined tensors: got ", x, " and ", y);
    const DType dtype = promote(x.dtype(), y.dtype());
    if (turned) std::swap(x, y);
    return elementwise(op, fn, {promoted(x, dtype), promoted(y, dtype)}, DType::boolean);
}

// |x| without rounding it.
Tensor magnitude(std::string_view op, const Variable& x) {
    return elementwise(op, ElementFn::abs, {x.value()}, compute_dtype(x.dtype()));
}

Tensor truth(std::string_view op, const Variable& x) {
    check(x.defined(), op, "needs a defined tensor: got ", x.value());
    return x.value().to(DType::boolean);
}

// Of two truths: 0 and 1.
Tensor combine(const char* op, ElementFn fn, const Variable& a, const Variable& b) {
    const Op scope(op);
    return elementwise(op, fn, {truth(op, a), truth(op, b)}, DType::boolean);
}

}  // namespace

Tensor eq(const Operand& a, const Operand& b) { return compare("eq", ElementFn::eq, a, b); }
Tensor ne(const Operand& a, const Operand& b) { return compare("ne", ElementFn::ne, a, b); }
Tensor lt(const Operand& a, const Operand& b) { return compare("lt", ElementFn::lt, a, b); }
Tensor le(const Operand& a, const Operand& b) { return compare("le", ElementFn::le, a, b); }
Tensor gt(const Operand& a, const Operand& b) { return compare("gt", ElementFn::lt, a, b, true); }
Tensor ge(const Operand& a, const Operand& b) { return compare("ge", ElementFn::le, a, b, true); }

Tensor isnan(const Variable& x) { return compare("isnan", ElementFn::ne, x, x); }
Tensor isinf(const Variable& x) { return compare("isinf", ElementFn::eq, magnitude("isinf", x), kInfinity); }
Tensor isfinite(const Variable& x) {
    return compare("isfinite", ElementFn::lt, magnitude("isfinite", x), kInfinity);
}

Tensor logical_and(const Variable& a, const Variable& b) {
    return combine("logical_and", ElementFn::minimum, a, b);
}
Tensor logical_or(const Variable& a, const Variable& b) {
    return combine("logical_or", ElementFn::maximum, a, b);
}
Tensor logical_xor(const Variable& a, const Variable& b) {
    return combine("logical_xor", ElementFn::ne, a, b);
}
Tensor logical_not(const Variable& x) {
    const Op op("logical_not");
    return elementwise("logical_not", ElementFn::rsub, {truth("logical_not", x)}, DType::boolean, 1);
}

const Variable& bool_operand(std::string_view op, const Variable& x) {
    check(x.defined() && x.dtype() == DType::boolean, op, "needs bool tensors (comparisons make them): got ",
          x.value());
    return x;
}

}  // namespace demi
