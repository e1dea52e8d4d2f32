// Arithmetic, functions, reductions, views and choices.
#include "ops/elementwise/arithmetic.h"
#include "ops/elementwise/cast.h"
#include "ops/elementwise/compare.h"
#include "ops/elementwise/functions.h"
#include "ops/elementwise/where.h"
#include "ops/index/gather.h"
#include "ops/index/index_select.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "ops/swiglu/swiglu.h"
#include "ops/views/concat.h"
#include "ops/views/dims.h"
#include "ops/views/split.h"
#include "ops/views/views.h"
#include "tests/misuse/walk.h"

namespace demi::test {
namespace {

void unary(Walks& walks, const char* name, Variable (*op)(const Variable&)) {
    walks.add(
        name, [op](Variable x) { return op(x); }, variable({2, 4}));
}
void binary(Walks& walks, const char* name, Variable (*op)(const Variable&, const Variable&)) {
    walks.add(
        name, [op](Variable a, Variable b) { return op(a, b); }, variable({2, 3}), variable({3}));
}
void with_number(Walks& walks, const char* name, Variable (*op)(const Variable&, double)) {
    walks.add(
        name, [op](Variable a, double b) { return op(a, b); }, variable({2, 3}), 2.0);
}
void number_with(Walks& walks, const char* name, Variable (*op)(double, const Variable&)) {
    walks.add(
        name, [op](double a, Variable b) { return op(a, b); }, 2.0, variable({2, 3}));
}
template <class R>
void reduction(Walks& walks, const char* name, R (*op)(const Variable&, const Dims&, bool)) {
    walks.add(
        name, [op](Variable x, Dims dims, bool keep) { return op(x, dims, keep); }, variable({2, 3}), Dims{1},
        false);
}

void element_walks(Walks& walks) {
#define FUNCTION(name, ...) unary(walks, #name, name);
#define HELPER(...)
#include "ops/elementwise/functions.inc"
#undef FUNCTION
#undef HELPER
    for (const auto& [name, op] : std::vector<std::pair<const char*, Variable (*)(const Variable&)>>{
             {"swiglu", swiglu}, {"operator-", operator-}, {"detach", detach}})
        unary(walks, name, op);
    for (const auto& [name, op] : std::vector<std::pair<const char*, Variable (*)(const Variable&, const Variable&)>>{
             {"add", add}, {"sub", sub}, {"mul", mul}, {"div", div}, {"maximum", maximum}, {"minimum", minimum},
             {"operator+", operator+}, {"operator-", operator-}, {"operator*", operator*}, {"operator/", operator/}})
        binary(walks, name, op);
    for (const auto& [name, op] : std::vector<std::pair<const char*, Variable (*)(const Variable&, double)>>{
             {"add", add}, {"sub", sub}, {"mul", mul}, {"div", div}, {"pow", pow}, {"operator+", operator+},
             {"operator-", operator-}, {"operator*", operator*}, {"operator/", operator/}})
        with_number(walks, name, op);
    for (const auto& [name, op] : std::vector<std::pair<const char*, Variable (*)(double, const Variable&)>>{
             {"sub", sub}, {"div", div}, {"operator+", operator+}, {"operator-", operator-}, {"operator*", operator*},
             {"operator/", operator/}})
        number_with(walks, name, op);
    for (const char* name : {"maximum", "minimum"})
        walks.add(
            name,
            [least = name == std::string("minimum")](Variable x, int64_t whole, double real) {
                use(least ? minimum(x, whole) : maximum(whole, x));
                return least ? minimum(real, x) : maximum(x, real);
            },
            variable({2, 3}), int64_t{2}, 0.5);
    walks.add(
        "clamp", [](Variable x, double low, double high) { return clamp(x, low, high); }, variable({2, 3}),
        0.0, 1.0);
    walks.add(
        "cast", [](Variable x, DType t) { return cast(x, t); }, variable({2, 3}), DType::f16);
    walks.add(
        "to_device", [](Variable x, Device d) { return to_device(x, d); }, variable({2, 3}), Device());
}

void reduction_walks(Walks& walks) {
    reduction(walks, "sum", sum);
    reduction(walks, "mean", mean);
    reduction(walks, "max", max);
    reduction(walks, "min", min);
    reduction(walks, "any", any);
    reduction(walks, "all", all);
    walks.add(
        "sum Dims::Dims", [](Tensor x, int dim) { return sum(x, dim); }, tensor({2, 3}, DType::i32), 1);
    walks.add(
        "argmin", [](Tensor x, int dim) { return argmin(x, dim); }, tensor({2, 3}), 1);
    walks.add(
        "argmax", [](Tensor x, int dim) { return argmax(x, dim); }, tensor({2, 3}), 1);
    walks.add(
        "count_equal", [](Tensor a, Tensor b) { return count_equal(a, b); }, indices({1, 2}),
        indices({1, 3}));
    walks.add(
        "keep_reduced drop_reduced",
        [](Shape s, Dims dims) {
            (void)keep_reduced("walk", s, dims);
            return drop_reduced(s, dims);
        },
        Shape{2, 3}, Dims{1});
}

// Two tensors, and a tensor with a whole number and with one that has a point on either side.
void comparison_walks(Walks& walks) {
    using Compare = Tensor (*)(const Operand&, const Operand&);
    for (const auto& [name, op] : std::vector<std::pair<const char*, Compare>>{
             {"eq Operand::Operand Operand::is_number Operand::number Operand::variable", eq}, {"ne", ne}, {"lt", lt},
             {"le", le}, {"gt", gt}, {"ge", ge}, {"operator==", operator==}, {"operator!=", operator!=},
             {"operator<", operator<}, {"operator<=", operator<=}, {"operator>", operator>}, {"operator>=", operator>=}}) {
        walks.add(
            name, [op](Variable a, Variable b) { return op(a, b); }, variable({2, 3}), variable({3}));
        walks.add(
            name,
            [op](Tensor a, int64_t whole, double real) {
                use(op(a, whole));
                use(op(whole, a));
                use(op(a, real));
                return op(real, a);
            },
            tensor({2, 3}, DType::i64), int64_t{2}, 0.5);
    }
    using Unary = Tensor (*)(const Variable&);
    for (const auto& [name, op] : std::vector<std::pair<const char*, Unary>>{
             {"isnan", isnan}, {"isinf", isinf}, {"isfinite", isfinite}, {"logical_not", logical_not},
             {"operator!", operator!}, {"operator~", operator~}})
        walks.add(
            name, [op](Variable x) { return op(x); }, Variable(tensor({2, 3}, DType::boolean)));
    using Binary = Tensor (*)(const Variable&, const Variable&);
    for (const auto& [name, op] : std::vector<std::pair<const char*, Binary>>{
             {"logical_and", logical_and}, {"logical_or", logical_or}, {"logical_xor", logical_xor},
             {"operator&", operator&}, {"operator|", operator|}, {"operator^", operator^}})
        walks.add(
            name, [op](Variable a, Variable b) { return op(a, b); }, Variable(tensor({2, 3}, DType::boolean)),
            Variable(tensor({3}, DType::boolean)));
    walks.add(
        "bool_operand", [](Variable x) { return bool_operand("walk", x); },
        Variable(tensor({2}, DType::boolean)));
    walks.add(
        "number_beside Number::Number Number::is_whole Number::real Number::dtype_beside Number::tensor",
        [](Variable x, int64_t whole, double real, DType dtype, Device device) {
            use(number_beside("walk", real, x));
            use(number_beside("walk", whole, x));
            use(Number(real).tensor("walk", Number(real).dtype_beside(dtype), device));
            return Number(whole).tensor("walk", dtype, device);
        },
        variable({2, 3}), int64_t{1}, 0.5, DType::f32, Device());
}

void view_walks(Walks& walks) {
    walks.add(
        "reshape", [](Variable x, Shape s) { return reshape(x, s); }, variable({2, 3}), Shape{3, -1});
    walks.add(
        "expand", [](Variable x, Shape s) { return expand(x, s); }, variable({1, 3}), Shape{2, 3});
    walks.add(
        "transpose", [](Variable x, int a, int b) { return transpose(x, a, b); }, variable({2, 3}), 0, 1);
    walks.add(
        "permute", [](Variable x, Dims d) { return permute(x, d); }, variable({2, 3}), Dims{1, 0});
    walks.add(
        "slice", [](Variable x, int d, int64_t a, int64_t b, int64_t s) { return slice(x, d, a, b, s); },
        variable({2, 3}), 1, 0, 3, 2);
    walks.add(
        "select", [](Variable x, int d, int64_t i) { return select(x, d, i); }, variable({2, 3}), 1, 2);
    walks.add(
        "squeeze", [](Variable x, int d) { return squeeze(x, d); }, variable({2, 1}), 1);
    walks.add(
        "unsqueeze", [](Variable x, int d) { return unsqueeze(x, d); }, variable({2, 3}), 1);
    walks.add(
        "split", [](Variable x, Ints sizes, int d) { return split(x, sizes, d); }, variable({2, 3}),
        Ints{2, 1}, 1);
    walks.add(
        "chunk", [](Variable x, int64_t n, int d) { return chunk(x, n, d); }, variable({2, 4}), 2, 1);
    walks.add(
        "unbind", [](Variable x, int d) { return unbind(x, d); }, variable({2, 3}), 1);
    walks.add(
        "concat", [](Vars xs, int d) { return concat(xs, d); }, Vars{variable({2, 3}), variable({2, 1})}, 1);
    walks.add(
        "stack", [](Vars xs, int d) { return stack(xs, d); }, Vars{variable({2, 3}), variable({2, 3})}, 1);
}

void choice_walks(Walks& walks) {
    walks.add(
        "where", [](Tensor c, Variable a, Variable b) { return where(c, a, b); },
        tensor({2, 3}, DType::boolean), variable({2, 3}), variable({3}));
    walks.add(
        "where",
        [](Tensor c, Variable a, int64_t whole, double real) {
            use(where(c, a, whole));
            use(where(c, whole, real));
            return where(c, real, a);
        },
        tensor({2, 3}, DType::boolean), variable({3}), int64_t{2}, 0.5);
    walks.add(
        "masked_fill", [](Variable x, Tensor m, double v) { return masked_fill(x, m, v); }, variable({2, 3}),
        tensor({3}, DType::boolean), 1.0);
    walks.add(
        "index_select", [](Variable x, int d, Tensor i) { return index_select(x, d, i); }, variable({2, 3}),
        1, indices({2, 0, 0}));
    walks.add(
        "gather", [](Variable x, int d, Tensor i) { return gather(x, d, i); }, variable({2, 3}), 1,
        tensor({2, 2}, DType::i64));
}

}  // namespace

void op_walks(Walks& walks) {
    element_walks(walks);
    reduction_walks(walks);
    comparison_walks(walks);
    view_walks(walks);
    choice_walks(walks);
}

}  // namespace demi::test
