#pragma once
// Elements of a call's memory, for the kernel files of both devices (kernel_cpu.h, kernel_cuda.h).
#include "runtime/backends.h"
#include "runtime/cuda/gpu_types.h"

namespace demi::DEMI_BACKEND {

template <class T> DEMI_HOST_DEVICE const T* elements(ConstMem m) { return static_cast<const T*>(m.data); }
template <class T> DEMI_HOST_DEVICE T* elements(Mem m) { return static_cast<T*>(m.data); }
// Memory from element i on.
DEMI_HOST_DEVICE ConstMem from(ConstMem m, int64_t i) {
    return {static_cast<const char*>(m.data) + i * static_cast<int64_t>(size_of(m.dtype)), m.dtype};
}
DEMI_HOST_DEVICE Mem from(Mem m, int64_t i) {
    return {static_cast<char*>(m.data) + i * static_cast<int64_t>(size_of(m.dtype)), m.dtype};
}
// Row r of contiguous rows; null where the operand is absent.
template <class T> DEMI_HOST_DEVICE const T* row(ConstMem m, int64_t r, int64_t width) {
    return m.data == nullptr ? nullptr : elements<T>(m) + r * width;
}
template <class T> DEMI_HOST_DEVICE T* row(Mem m, int64_t r, int64_t width) {
    return m.data == nullptr ? nullptr : elements<T>(m) + r * width;
}

}  // namespace demi::DEMI_BACKEND
