#include "ops/elementwise/where.h"

#include "ops/elementwise/elementwise.h"
#include "ops/reduce/sums.h"

namespace demi {

// Bool, so that the smallest f64 that is not 0 holds beside f32 data, too.
static Tensor holds(const char* op, const char* operand, const Variable& condition) {
    check(condition.defined(), op, "the ", operand, " must be a defined tensor");
    return condition.value().to(DType::boolean);
}

Variable where(const Variable& condition, const Operand& first, const Operand& second) {
    const Op op("where");
    const Tensor taken = holds("where", "condition", condition);
    const auto variable_of = [&](const Operand& operand, const Operand& other) -> Variable {
        if (!operand.is_number()) return operand.variable();
        const Number& number = operand.number();
        const DType beside = other.is_number() ? DType::boolean : other.variable().dtype();
        return number.tensor("where", number.dtype_beside(beside), taken.device());
    };
    const Variable a = variable_of(first, second), b = variable_of(second, first);
    check(a.defined() && b.defined(), "where", "needs defined tensors: got ", a.value(), " and ", b.value());
    const DType dtype = promote(a.dtype(), b.dtype());
    Tensor y = elementwise("where", ElementFn::where,
                           {taken, promoted(a.value(), dtype), promoted(b.value(), dtype)}, dtype);
    return record_two(
        op, a, b, y, [c = Saved(taken)](int i, const Tensor& dy, const Shape& shape, DType type) {
            return elementwise_to("where", i == 0 ? ElementFn::keep_where : ElementFn::drop_where, {dy, c},
                                  shape, type);
        });
}

Variable masked_fill(const Variable& x, const Variable& mask, const Number& value) {
    const Op op("masked_fill");
    check(x.defined(), "masked_fill", "x must be a defined tensor");
    const Tensor filled = holds("masked_fill", "mask", mask);
    check(broadcast(filled.shape(), x.shape(), "masked_fill") == x.shape(), "masked_fill",
          "the mask must broadcast to ", x.shape(), ": got ", filled);
    if (!is_float(x.dtype())) return where(filled, value.tensor("masked_fill", x.dtype(), x.device()), x);
    Tensor y =
        elementwise("masked_fill", ElementFn::fill_where, {x.value(), filled}, x.dtype(), value.real());
    return op.record(x, y, [m = Saved(filled)](const Tensor& dy) {
        return elementwise("masked_fill", ElementFn::drop_where, {dy, m}, dy.dtype());
    });
}

}  // namespace demi
