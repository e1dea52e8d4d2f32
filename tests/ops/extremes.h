#pragma once
#include <functional>
#include <string>
#include <vector>

#include "tests/support/gradcheck.h"

// Numbers at the ends of a dtype's range, and results beside oracles in long double.
namespace demi::test {

using Wide = long double;

// Zeros, the smallest subnormal and normal numbers, 1e±30 and 1e±19 and their like, ordinary ones, the
// largest; with both signs. Exact in `dtype`.
std::vector<double> extremes(DType dtype);

double largest(DType dtype);   // the largest finite number
double smallest(DType dtype);  // the smallest subnormal one

// "" where every element is within rtol |want| + atol + 2 smallest(dtype) of what is wanted. Where that is
// beyond the range, infinity or the largest number of its sign is right; where it is NaN, anything is.
struct Wanted {
    Wide value, atol = 0;
};
std::string near(const Tensor& got, const std::vector<Wanted>& want, double rtol);

// One rounding to `dtype`, and a little more for f32 and f64 arithmetic.
double unit(DType dtype);

}  // namespace demi::test
