#pragma once
// Internal: the kernel behind every element-wise op. out = fn(operands...), element by element: operands have
// out's shape (stretched by strides of 0), any strides and dtypes. Arithmetic in compute_type(); one rounding
// to out's dtype: of f64 to f64 or bool, of f32 to any other float or bool, of i64 to an integer or bool.
#include <algorithm>
#include <span>

#include "ops/common/element_fn.h"
#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

inline DType compute_type(ElementFn fn, const Tensor& out, std::span<const Tensor> operands) {
    const auto is_f64 = [](const Tensor& t) { return t.dtype() == DType::f64; };
    if (is_f64(out) || std::any_of(operands.begin(), operands.end(), is_f64)) return DType::f64;
    const auto has_no_float = [](const Tensor& t) { return !is_float(t.dtype()); };
    return on_integers(fn) && std::all_of(operands.begin(), operands.end(), has_no_float) ? DType::i64
                                                                                          : DType::f32;
}

struct ElementwiseKernels {
    void (*apply)(ElementFn fn, Tensor& out, std::span<const Tensor> operands, double p, double q) = nullptr;
};
DEMI_KERNEL_TABLES(ElementwiseKernels, elementwise)

}  // namespace demi
