#pragma once
#include "tests/support/array.h"
#include "tests/support/gradcheck.h"

// One declaration per op; check_op() runs everything that an op must pass (see ops/README.md):
//   value         every shape and dtype against the double reference; output dtype = input dtype
//   gradient      f64 against central differences; f32, f16, bf16 against f64; gradient dtype = value dtype
//   strides       transposed, offset, stepped and expanded inputs and gradients give what contiguous ones give
//   threads       1, 2 and 3 threads give the same bits, forward and backward
//   device        with DEMI_TEST_DEVICE=cuda, instead: the GPU against the CPU, strided, twice with the same bits
// Inputs are drawn evenly from `range` (or ranges[n]) and rounded to the dtype before the reference sees them.
namespace demi::test {

using Reference = std::function<Arrays(const Arrays& inputs)>;

struct Range {
    double low = -2, high = 2;
};

struct OpCase {
    std::string op;
    std::vector<std::vector<Shape>>
        shapes;           // each entry: the shapes of all inputs. Think of odd, 1, and 0 sizes
    OpFunction fn;        // Vars -> Variable or Vars
    Reference reference;  // Arrays -> Arrays, one per output

    Range range{};
    std::vector<Range> ranges{};             // per input, instead of `range`
    std::function<void(Arrays&)> prepare{};  // adjusts the inputs: away from kinks, ties on purpose, ...
    std::vector<DType> dtypes{DType::f32, DType::f16, DType::bf16, DType::f64};
    std::vector<DType> output_dtypes{};  // where an output has a dtype of its own (else: the input's)
    double factor = 1;                   // on rounding_of(dtype), for values
    double grad_factor = 4;              // and for gradients
    bool exact_strides = true;           // strided input: same bits, or within the tolerance
    bool products = false;               // a real GPU may sum in another order for other strides
    bool gradients = true;
    GradcheckOptions gradcheck{};
};

void check_op(const OpCase& c);

// A tensor equal to `t` that is not contiguous, when its shape allows. kind 0: transposed memory; 1: offset
// and a step of two in the last dimension.
Tensor strided_like(const Tensor& t, int kind);

}  // namespace demi::test
