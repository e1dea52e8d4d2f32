#pragma once
// What kernel files of the GPU (*_cuda.cu) are written with, beside runtime/cuda/gpu.h: elements of a call's memory, and
// packs of sixteen bytes.
#include "ops/common/pack.cuh"
#include "runtime/backends.h"

namespace demi::DEMI_BACKEND {

template <class T> DEMI_HOST_DEVICE const T* elements(ConstMem m) { return static_cast<const T*>(m.data); }
template <class T> DEMI_HOST_DEVICE T* elements(Mem m) { return static_cast<T*>(m.data); }

template <class A, class B> struct IsSame { static constexpr bool value = false; };
template <class A> struct IsSame<A, A> { static constexpr bool value = true; };

}  // namespace demi::DEMI_BACKEND
