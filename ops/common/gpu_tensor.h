#pragma once
// Internal: Tensors as the launch functions of *_cuda.h take them.
#include "runtime/cuda/operands.h"
#include "runtime/cuda/stream.h"
#include "runtime/tensor.h"

namespace demi {

inline gpu::Stream gpu_stream(const Tensor& t) { return gpu::current_stream(t.device()); }

// Null for an undefined tensor.
inline const void* gpu_in(const Tensor& t) { return t.defined() ? t.raw() : nullptr; }
inline void* gpu_out(Tensor& t) { return t.defined() ? t.mutable_raw() : nullptr; }

}  // namespace demi
