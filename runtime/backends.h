#pragma once
// Where an op's kernels run. One plain table of functions per op, filled once for each backend: the three instruction
// sets of the CPU (files named *_cpu.cpp, compiled three times) and the GPU (*_cuda.cu):
//
//   foo_kernels.h   struct FooForward { ConstMem x; Mem y; int64_t count; };
//                   using FooKernels = ForwardBackward<FooForward, FooBackward>;
//                   DEMI_BACKENDS(FooKernels, foo)
//   foo_cpu.cpp     namespace demi::DEMI_BACKEND { const FooKernels foo_kernels{forward, backward}; }
//   foo_cuda.cu     the same two lines
//   foo.cpp         foo_on(x.device()).forward({in(x), out(y), x.numel()}, queue_of(x.device()));
//
// Calls hold pointers, numbers and dtypes that the wrapper has checked. C++17; nothing here emits code of its own.
#include "runtime/element.h"
#include "runtime/non_copyable.h"

namespace demi {

// The order of work on the tensor's device.
struct Queue {
    void* stream = nullptr;  // a cudaStream_t; null on the CPU
    int device = -1;         // the GPU's index; -1: the CPU
};

// Memory for one kernel call, given back at the end of the scope; on a GPU in the order of its stream. 64-byte aligned;
// null for no bytes.
class Scratch : NonCopyable {
  public:
    Scratch(size_t bytes, Queue queue);
    ~Scratch();
    template <class T> T* as() const { return static_cast<T*>(data_); }

  private:
    void* data_;
    size_t bytes_;
    Queue queue_;
};

// The table of an op with one call each way.
template <class Forward, class Backward> struct ForwardBackward {
    void (*forward)(const Forward& call, Queue queue);
    void (*backward)(const Backward& call, Queue queue);
};

}  // namespace demi

#define DEMI_BACKEND_TABLE(space, Kernels, op) \
    namespace space { \
    extern const Kernels op##_kernels; \
    }

#if defined(DEMI_BACKEND)  // a kernel file: it sees and fills the table of its own backend

#define DEMI_BACKENDS(Kernels, op) DEMI_BACKEND_TABLE(DEMI_BACKEND, Kernels, op)

#else  // everywhere else: `const Kernels& op_on(Device)`

#include "runtime/device.h"
#include "runtime/isa.h"

namespace demi {

Queue queue_of(Device device);

namespace detail {

// What `tables` holds for the device: those of the instruction sets in the order of Isa, then the GPU's (null in a build
// without CUDA: an Error that names the op).
const void* table_on(Device device, const char* op, const void* const* tables);

}  // namespace detail
}  // namespace demi

#if defined(DEMI_ISA_BASELINE_ONLY)
#define DEMI_CPU_TABLES(Kernels, op) DEMI_BACKEND_TABLE(isa_baseline, Kernels, op)
#define DEMI_CPU_TABLE_LIST(op) &isa_baseline::op##_kernels, nullptr, nullptr
#else
#define DEMI_CPU_TABLES(Kernels, op) \
    DEMI_BACKEND_TABLE(isa_baseline, Kernels, op) \
    DEMI_BACKEND_TABLE(isa_v3, Kernels, op) \
    DEMI_BACKEND_TABLE(isa_v4, Kernels, op)
#define DEMI_CPU_TABLE_LIST(op) &isa_baseline::op##_kernels, &isa_v3::op##_kernels, &isa_v4::op##_kernels
#endif

#if defined(DEMI_CUDA)
#define DEMI_GPU_TABLE(Kernels, op) DEMI_BACKEND_TABLE(gpu_kernels, Kernels, op)
#define DEMI_GPU_TABLE_LIST(op) &gpu_kernels::op##_kernels
#else
#define DEMI_GPU_TABLE(Kernels, op)
#define DEMI_GPU_TABLE_LIST(op) nullptr
#endif

#define DEMI_BACKENDS(Kernels, op) \
    DEMI_CPU_TABLES(Kernels, op) \
    DEMI_GPU_TABLE(Kernels, op) \
    inline const Kernels& op##_on(Device device) { \
        static constexpr const void* tables[] = {DEMI_CPU_TABLE_LIST(op), DEMI_GPU_TABLE_LIST(op)}; \
        return *static_cast<const Kernels*>(detail::table_on(device, #op, tables)); \
    }

#endif
