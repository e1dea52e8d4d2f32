#include "tests/support/gpu/fiber.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <cstdint>

#include "runtime/check.h"

#if defined(DEMI_EMULATION_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif

namespace demi::gpu::emulation {

namespace {

constexpr size_t kStackBytes = 256 * 1024, kGuardBytes = 64 * 1024;

// The address sanitizer has to be told of every switch. (This file itself is compiled without it, for speed.)
void announce(void** save, const void* stack, size_t bytes) {
#if defined(DEMI_EMULATION_ASAN)
    __sanitizer_start_switch_fiber(save, stack, bytes);
#else
    (void)save, (void)stack, (void)bytes;
#endif
}
void arrive(void* saved, const void** old_stack, size_t* old_bytes) {
#if defined(DEMI_EMULATION_ASAN)
    __sanitizer_finish_switch_fiber(saved, old_stack, old_bytes);
#else
    (void)saved, (void)old_stack, (void)old_bytes;
#endif
}

Fiber* starting = nullptr;

#if defined(__x86_64__)
// Saves the callee-saved registers and the stack pointer to *from, and takes them from `to`. (swapcontext
// does the same with two system calls.)
extern "C" void demi_switch_stack(void** from, void* to);
asm(R"(
.text
.globl demi_switch_stack
.hidden demi_switch_stack
.type demi_switch_stack, @function
demi_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size demi_switch_stack, .-demi_switch_stack
)");

void switch_stack(void** from, void* to) { demi_switch_stack(from, to); }

void* prepare(void* stack, size_t bytes, void (*entry)()) {
    auto* top = reinterpret_cast<uintptr_t*>(static_cast<char*>(stack) + bytes);
    *--top = 0;  // keeps the stack pointer odd by 8 at the entry, as after a call
    *--top = reinterpret_cast<uintptr_t>(entry);
    for (int i = 0; i < 6; ++i) *--top = 0;
    return top;
}
#else
void switch_stack(void** from, void* to) {
    auto* own = static_cast<ucontext_t*>(*from);
    if (own == nullptr) *from = own = new ucontext_t;
    swapcontext(own, static_cast<ucontext_t*>(to));
}

void* prepare(void* stack, size_t bytes, void (*entry)()) {
    auto* context = new ucontext_t;
    getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = bytes;
    context->uc_link = nullptr;
    makecontext(context, entry, 0);
    return context;
}
#endif

}  // namespace

Fiber::Fiber(Main main) : main_(main) {
    void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(memory != MAP_FAILED, "gpu emulation", "no memory for another thread's stack");
    mprotect(memory, kGuardBytes, PROT_NONE);
    stack_ = static_cast<char*>(memory) + kGuardBytes;
    context_ = prepare(stack_, kStackBytes, &Fiber::start);
}

void Fiber::start() {
    Fiber* self = starting;
    arrive(nullptr, &self->caller_stack_, &self->caller_bytes_);
    self->main_();
}

void Fiber::enter() {
    void* fake_stack = nullptr;
    starting = this;
    announce(&fake_stack, stack_, kStackBytes);
    switch_stack(&caller_, context_);
    arrive(fake_stack, nullptr, nullptr);
}

void Fiber::leave() {
    announce(&fake_stack_, caller_stack_, caller_bytes_);
    switch_stack(&context_, caller_);
    arrive(fake_stack_, &caller_stack_, &caller_bytes_);
}

}  // namespace demi::gpu::emulation
