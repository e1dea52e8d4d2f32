#pragma once
// Kernel tables: a struct of function pointers per op, one table per device. Without CUDA the second table is
// empty; a null entry throws with the op's name instead of being called.
#include "runtime/check.h"
#include "runtime/device.h"
#include "runtime/profile.h"

// An op whose CUDA kernels are not written yet.
#define DEMI_KERNEL_TABLES_CPU_ONLY(Kernels, op) \
    extern const Kernels op##_cpu; \
    inline constexpr Kernels op##_cuda{};

#ifdef DEMI_CUDA
#define DEMI_KERNEL_TABLES(Kernels, op) \
    extern const Kernels op##_cpu; \
    extern const Kernels op##_cuda;
#else
#define DEMI_KERNEL_TABLES(Kernels, op) DEMI_KERNEL_TABLES_CPU_ONLY(Kernels, op)
#endif

namespace demi {

template <class Kernels, class Function>
Function select_kernel(Device device, std::string_view op, const Kernels& cpu, const Kernels& cuda,
                       Function Kernels::*entry) {
    Function function = device.is_cpu() ? cpu.*entry : cuda.*entry;
    check(function != nullptr, op,
          built_with_cuda() || device.is_cpu()
              ? "has no kernel for this device: "
              : "this build has no CUDA kernels (configure with -Dcuda=enabled): asked for ",
          device);
    profile_kernel(device);
    return function;
}

}  // namespace demi

// DEMI_SELECT(gelu, x.device(), forward)(x, y) calls gelu_cpu.forward or gelu_cuda.forward.
#define DEMI_SELECT(op, device, entry) \
    ::demi::select_kernel((device), #op, op##_cpu, op##_cuda, &std::remove_const_t<decltype(op##_cpu)>::entry)
