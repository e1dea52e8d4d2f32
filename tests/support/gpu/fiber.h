#pragma once
// A stack of its own and a way to switch to it and back. Fibers are made once and used again and again.
#include <cstddef>

#include "runtime/non_copyable.h"

namespace demi::gpu::emulation {

class Fiber : NonCopyable {
  public:
    using Main = void (*)();  // never returns: it leaves through to_caller()
    explicit Fiber(Main main);

    void enter();  // from the caller's stack: runs the fiber until it calls leave()
    void leave();  // from inside the fiber: back to where enter() was called

  private:
    static void start();

    Main main_;
    void* stack_ = nullptr;    // lowest usable address
    void* context_ = nullptr;  // saved stack pointer, or a ucontext_t
    void* caller_ = nullptr;
    void* fake_stack_ = nullptr;  // the address sanitizer's notes
    const void* caller_stack_ = nullptr;
    size_t caller_bytes_ = 0;
};

}  // namespace demi::gpu::emulation
