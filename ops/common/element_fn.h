#pragma once
// Internal: the element-wise functions that the engine knows. Plain, so that *_isa.cpp and *.cu can include
// it. p and q are the two numbers that a function may take.
#include <cstdint>

namespace demi {

enum class ElementFn : int {
    // one operand: a
    copy,
    neg,
    exp,
    log,
    sqrt,
    square,
    abs,
    sigmoid,
    tanh,
    pow,         // a ^ p
    clamp,       // a within [p, q]
    add_scalar,  // a + p
    mul_scalar,  // a * p
    div_scalar,  // a / p
    rsub,        // p - a
    rdiv,        // p / a
    // two operands: a, b
    add,
    sub,
    mul,
    div,
    maximum,
    minimum,
    // 1 where true, else 0
    eq,
    ne,
    lt,
    le,
    // backward of the functions of one operand: a the gradient, b the saved input (x) or result (y)
    log_grad,      // a / x
    sqrt_grad,     // a / (2 y)
    square_grad,   // 2 a x
    abs_grad,      // a sign(x), 0 at 0
    sigmoid_grad,  // a y (1 - y)
    tanh_grad,     // a (1 - y^2)
    pow_grad,      // a p x^(p - 1)
    clamp_grad,    // a where p <= x <= q, else 0
    rdiv_grad,     // -a p / x^2
    clear,         // 0
    keep_where,    // a where b is not 0, else 0
    drop_where,    // a where b is 0, else 0
    fill_where,    // a where b is 0, else p
    // three operands: a, b, c
    div_grad,      // -(a b) / c^2: gradient a, numerator b, denominator c
    greater_grad,  // a where b > c, a / 2 where they are equal, else 0
    where,         // b where a is not 0, else c
    count
};

constexpr int kElementFns = static_cast<int>(ElementFn::count);

// p multiplies or divides: out of f32's range it is taken in f64, for the result may lie within.
constexpr bool scales(ElementFn fn) {
    return fn == ElementFn::mul_scalar || fn == ElementFn::div_scalar || fn == ElementFn::rdiv ||
           fn == ElementFn::rdiv_grad || fn == ElementFn::pow_grad;
}

// Computed in i64 where all operands are integers or bool.
constexpr bool on_integers(ElementFn fn) {
    return (fn >= ElementFn::maximum && fn <= ElementFn::le) || fn == ElementFn::where;
}

constexpr int operands_of(ElementFn fn) { return fn < ElementFn::add ? 1 : fn < ElementFn::div_grad ? 2 : 3; }

}  // namespace demi
