#pragma once
// Elements of every dtype as doubles, written and read without the library's conversions and copies.
#include <string>
#include <vector>

#include "runtime/tensor.h"
#include "tests/fuzz/grid.h"

namespace demi::fuzz {

bool floating(DType dtype);
DType wider(DType a, DType b);  // the library's promotion rule, said again
DType computing(DType dtype);   // f64 for f64, else f32

// To the nearest value of the dtype, ties to even, overflow to infinity; integers as they are.
double rounded(double v, DType dtype);
// Half of the distance between neighbours of v in the dtype: what one rounding may cost. 0 for integers.
double half_step(double v, DType dtype);
double largest(DType dtype);
double unit(DType dtype);  // of Num::e where the dtype computes: 2^-53 for f64, else 2^-24

Sizes sizes_of(const Shape& shape);
Shape shape_of(const Sizes& sizes);

// The elements in logical order, by strides.
std::vector<double> read(const Tensor& t);
// The bits of the elements in logical order: equal vectors, equal tensors.
std::vector<uint64_t> bits(const Tensor& t);
// New memory with these strides (in elements) from `offset` on; values in logical order, rounded to the dtype. What
// lies between is filled with a number that must never be read.
Tensor laid_out(const std::vector<double>& values, const Sizes& sizes, const Sizes& strides, int64_t offset,
                DType dtype, Device device);
Sizes row_major(const Sizes& sizes);
// Whether `sizes` can be seen over the memory of t without moving an element.
bool can_view(const Tensor& t, const Sizes& sizes);

std::string text_of(const Sizes& sizes);

}  // namespace demi::fuzz
