#pragma once
// + - * / on Variables (Tensors convert) and numbers; == != < <= > >= on the same, giving bool Tensors;
// & | ^ ! ~ on bool Tensors.
#include "ops/elementwise/arithmetic.h"
#include "ops/elementwise/compare.h"
#include "ops/elementwise/functions.h"

namespace demi {

inline Variable operator+(const Variable& a, const Variable& b) { return add(a, b); }
inline Variable operator+(const Variable& a, double b) { return add(a, b); }
inline Variable operator+(double a, const Variable& b) { return add(b, a); }
inline Variable operator-(const Variable& a, const Variable& b) { return sub(a, b); }
inline Variable operator-(const Variable& a, double b) { return sub(a, b); }
inline Variable operator-(double a, const Variable& b) { return sub(a, b); }
inline Variable operator*(const Variable& a, const Variable& b) { return mul(a, b); }
inline Variable operator*(const Variable& a, double b) { return mul(a, b); }
inline Variable operator*(double a, const Variable& b) { return mul(b, a); }
inline Variable operator/(const Variable& a, const Variable& b) { return div(a, b); }
inline Variable operator/(const Variable& a, double b) { return div(a, b); }
inline Variable operator/(double a, const Variable& b) { return div(a, b); }
inline Variable operator-(const Variable& x) { return neg(x); }

inline Tensor operator==(const Operand& a, const Operand& b) { return eq(a, b); }
inline Tensor operator!=(const Operand& a, const Operand& b) { return ne(a, b); }
inline Tensor operator<(const Operand& a, const Operand& b) { return lt(a, b); }
inline Tensor operator<=(const Operand& a, const Operand& b) { return le(a, b); }
inline Tensor operator>(const Operand& a, const Operand& b) { return gt(a, b); }
inline Tensor operator>=(const Operand& a, const Operand& b) { return ge(a, b); }

inline Tensor operator&(const Variable& a, const Variable& b) {
    return logical_and(bool_operand("&", a), bool_operand("&", b));
}
inline Tensor operator|(const Variable& a, const Variable& b) {
    return logical_or(bool_operand("|", a), bool_operand("|", b));
}
inline Tensor operator^(const Variable& a, const Variable& b) {
    return logical_xor(bool_operand("^", a), bool_operand("^", b));
}
inline Tensor operator!(const Variable& x) { return logical_not(bool_operand("!", x)); }
inline Tensor operator~(const Variable& x) { return logical_not(bool_operand("~", x)); }

}  // namespace demi
