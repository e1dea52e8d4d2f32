#pragma once
#include "runtime/tensor.h"

// Comparisons that say where and by how much: "" when all is well, else the worst element. For doctest:
//     CHECK(compare(got, want, {1e-5, 1e-5}) == "");
namespace demi::test {

struct Tolerance {
    double atol = 0, rtol = 0;
};

// |got - want| <= atol + rtol * |want| everywhere; NaN matches NaN, infinities must be equal. Shapes must be
// equal, dtypes and devices may differ.
std::string compare(const Tensor& got, const Tensor& want, Tolerance tolerance);

// The same dtype, shape and values, bit for bit (strides and device may differ).
std::string same_bits(const Tensor& got, const Tensor& want);

// As same_bits, but a NaN matches any other NaN: for sums of a real GPU
// (tests/support/device.h) beside the CPU's.
std::string same_numbers(const Tensor& got, const Tensor& want);

// Normal values, the same for the same seed.
Tensor drawn(const Shape& shape, uint64_t seed, DType dtype = DType::f32);

// What one rounding to `dtype` may cost, with a little room: f64 1e-12, f32 2e-6, f16 1e-3, bf16 8e-3.
Tolerance rounding_of(DType dtype, double factor = 1);

}  // namespace demi::test
