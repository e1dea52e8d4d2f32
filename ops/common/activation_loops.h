#pragma once
// The body of an activation's *_isa.cpp file: Op::value(vf x) is the function, Op::grad(vf x, vf dy) dy times
// its derivative.
#include "ops/common/activation_isa.h"
#include "ops/common/lanes.h"

namespace demi::DEMI_ISA_NS {
namespace {

template <class Op, class T> void activation_value(const void* x_, void* y_, int64_t count) {
    const T* x = static_cast<const T*>(x_);
    T* y = static_cast<T*>(y_);
    for_lanes(
        count, DEMI_LANES { put(y + i, Op::value(get(x + i, n)), n); });
}

template <class Op, class T> void activation_grad(const void* x_, const void* dy_, void* dx_, int64_t count) {
    const T* x = static_cast<const T*>(x_);
    const T* dy = static_cast<const T*>(dy_);
    T* dx = static_cast<T*>(dx_);
    for_lanes(
        count, DEMI_LANES { put(dx + i, Op::grad(get(x + i, n), get(dy + i, n)), n); });
}

template <class Op> constexpr ActivationIsa activation_table() {
    return {{activation_value<Op, Half>, activation_value<Op, BFloat16>, activation_value<Op, float>},
            {activation_grad<Op, Half>, activation_grad<Op, BFloat16>, activation_grad<Op, float>}};
}

}  // namespace
}  // namespace demi::DEMI_ISA_NS
