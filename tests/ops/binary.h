#pragma once
#include "tests/support/op_case.h"

namespace demi::test {

// Shapes of two operands that broadcast in every way; beyond a block (512) and a tile (32768 elements).
inline const std::vector<std::vector<Shape>> kBinaryShapes = {
    {{}, {}},
    {{1}, {1}},
    {{7}, {}},
    {{0, 3}, {3}},
    {{3, 5}, {3, 5}},
    {{4, 1}, {1, 6}},
    {{5}, {2, 3, 5}},
    {{2, 3, 5}, {3, 1}},
    {{2, 1, 3, 1}, {4, 1, 5}},
    {{130, 257}, {257}},
    {{3, 700}, {3, 1}},
};

// The case of an op of two operands from f(a, b) in doubles.
template <class F>
OpCase binary_case(std::string op, Variable (*fn)(const Variable&, const Variable&), F reference) {
    return {
        .op = std::move(op),
        .shapes = kBinaryShapes,
        .fn = [fn](const Vars& x) { return fn(x[0], x[1]); },
        .reference = [reference](const Arrays& x) -> Arrays { return {zip(x[0], x[1], reference)}; },
    };
}

// Operands of two dtypes: the result has `want`, gradients have their operand's dtype and the right values.
void check_mixed_dtypes(Variable (*fn)(const Variable&, const Variable&));

// The case of an op of one operand from f(a) in doubles.
template <class Op, class F> OpCase unary_case(std::string op, Op fn, F reference, Range range = {}) {
    return {
        .op = std::move(op),
        .shapes = {{{}}, {{1}}, {{0, 3}}, {{33}}, {{3, 5, 7}}, {{3, 700}}, {{130, 257}}},
        .fn = [fn](const Vars& x) { return fn(x[0]); },
        .reference = [reference](const Arrays& x) -> Arrays { return {map(x[0], reference)}; },
        .range = range,
    };
}

}  // namespace demi::test
