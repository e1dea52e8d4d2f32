// Comparisons, logical operations, and what numbers become beside tensors.
#include "ops/elementwise/compare.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "tests/misuse/walk.h"

namespace demi::test {

void compare_walks(Walks& walks) {
    using Compare = Tensor (*)(const Operand&, const Operand&);
    for (const auto& [name, op] : std::vector<std::pair<const char*, Compare>>{
             {"eq", eq}, {"ne", ne}, {"lt", lt}, {"le", le}, {"gt", gt}, {"ge", ge},
             {"operator==", operator==}, {"operator!=", operator!=}, {"operator<", operator<},
             {"operator<=", operator<=}, {"operator>", operator>}, {"operator>=", operator>=}}) {
        walks.add(
            name, [op = op](Variable a, Variable b) { return op(a, b); }, variable({2, 3}), variable({3}));
        walks.add(
            name, [op = op](Variable a, double b) { return op(a, b); }, variable({2, 3}), 2.0);
        walks.add(
            name, [op = op](int64_t a, Tensor b) { return op(a, b); }, int64_t{2}, tensor({2, 3}));
    }
    using Logical = Tensor (*)(const Variable&, const Variable&);
    for (const auto& [name, op] : std::vector<std::pair<const char*, Logical>>{
             {"logical_and", logical_and}, {"logical_or", logical_or}, {"logical_xor", logical_xor},
             {"operator&", operator&}, {"operator|", operator|}, {"operator^", operator^}})
        walks.add(
            name, [op = op](Variable a, Variable b) { return op(eq(a, 1), eq(b, 1)); }, variable({2, 3}),
            variable({3}));
    using Each = Tensor (*)(const Variable&);
    for (const auto& [name, op] : std::vector<std::pair<const char*, Each>>{
             {"logical_not", logical_not}, {"operator!", operator!}, {"operator~", operator~}, {"isnan", isnan},
             {"isinf", isinf}, {"isfinite", isfinite}})
        walks.add(
            name, [op = op](Variable x) { return op(eq(x, 1)); }, variable({2, 3}));
    walks.add(
        "bool_operand", [](Variable x) { return bool_operand("walk", eq(x, 1)); }, variable({2, 3}));
    walks.add(
        "any all",
        [](Variable x, Dims dims, bool keep) {
            (void)any(x, dims, keep);
            return all(x, dims, keep);
        },
        variable({2, 3}), Dims{1}, false);
    walks.add(
        "min", [](Variable x, Dims dims, bool keep) { return min(x, dims, keep); }, variable({2, 3}), Dims{1},
        false);
    walks.add(
        "argmin", [](Tensor x, int dim) { return argmin(x, dim); }, tensor({2, 3}), 1);
    walks.add(
        "Dims::Dims", [](int dim) { return Dims(dim); }, 1);
    walks.add(
        "Number::Number Number::is_whole Number::real Number::dtype_beside Number::tensor number_beside",
        [](double value, int64_t whole, DType dtype, Variable x) {
            (void)Number(value).real();
            (void)Number(whole).is_whole();
            (void)Number(value).dtype_beside(dtype);
            (void)Number(whole).tensor("walk", dtype, Device());
            return number_beside("walk", Number(value), x);
        },
        1.5, int64_t{3}, DType::f32, variable({2}));
    walks.add(
        "Operand::Operand Operand::is_number Operand::number Operand::variable",
        [](Variable x, double value) {
            (void)Operand(x).variable();
            return Operand(value).is_number() && Operand(value).number().real() == value;
        },
        variable({2}), 1.5);
}

}  // namespace demi::test
