#pragma once
// The engine behind every element-wise op: out = fn(in...), with the functions of functions.inc.
#include "runtime/backends.h"
#include "runtime/strided.h"

namespace demi {

enum class ElementFn : int {
#define FUNCTION(name, ...) name, name##_grad,
#define HELPER(name, ...) name,
#include "ops/elementwise/functions.inc"
#undef FUNCTION
#undef HELPER
    count
};

enum class ElementKind : uint8_t { floats, shared = floats, scales, whole, own };

struct ElementTraits {
    int tensors;
    ElementKind kind;
};
constexpr ElementTraits kElementTraits[] = {
#define FUNCTION(name, saves, kernels, ...) {1, ElementKind::kernels}, {2, ElementKind::kernels},
#define HELPER(name, tensors, kind, ...) {tensors, ElementKind::kind},
#include "ops/elementwise/functions.inc"
#undef FUNCTION
#undef HELPER
};
constexpr ElementTraits traits_of(ElementFn fn) { return kElementTraits[static_cast<int>(fn)]; }

// Arithmetic runs in `compute`: f64 where a tensor is f64, i64 for ElementKind::whole of integers and bool, else f32. It
// is rounded once to out's dtype: from f64 to f64 or bool, from f32 to any other float or bool, from i64 to an integer or
// bool. The tensors of ElementKind::own are contiguous and of one dtype; others have any strides and dtypes.
// The base is the walk over all elements; strides of out first.
struct ElementCall : Strided<4> {
    ElementFn fn;
    DType compute;
    Mem out;
    ConstMem in[3];
    double p, q;
};

struct ElementwiseKernels {
    void (*apply)(const ElementCall& call, Queue queue);
};
DEMI_BACKENDS(ElementwiseKernels, elementwise)

}  // namespace demi
