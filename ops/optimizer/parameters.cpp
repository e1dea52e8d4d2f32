#include "ops/optimizer/parameters.h"

namespace demi {

void check_parameter(const Op& op, size_t index, const Tensor& param) {
    op.check(param.defined() && is_float(param.dtype()) && param.is_contiguous(), "parameter ", index,
             " must be a contiguous float tensor: got ", param);
}

void check_beside(const Op& op, size_t index, std::string_view name, const Tensor& param,
                  const Tensor& other) {
    const bool fits = other.shape() == param.shape() && other.device() == param.device() &&
                      is_float(other.dtype()) &&
                      (other.dtype() == DType::f64) == (param.dtype() == DType::f64);
    op.check(fits, name, " ", index, " must have shape and device of its parameter, ", param,
             " (and f64 only beside f64): got ", other);
}

void check_state(const Op& op, size_t index, std::string_view name, const Tensor& param,
                 const Tensor& state) {
    const DType dtype = compute_dtype(param.dtype());
    const bool fits = state.defined() && state.shape() == param.shape() && state.device() == param.device() &&
                      state.dtype() == dtype && state.is_contiguous();
    op.check(fits, name, " of parameter ", index, " must be contiguous ", dtype, " like ", param, ": got ",
             state);
}

void check_factor(const Op& op, size_t index, const Tensor& param, const Tensor& factor) {
    op.check(!factor.defined() ||
                 (factor.dtype() == DType::f64 && factor.numel() == 1 && factor.device() == param.device()),
             "factor ", index, " must be f64 with one element on ", param.device(), ": got ", factor);
}

}  // namespace demi
