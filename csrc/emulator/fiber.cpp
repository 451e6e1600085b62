#include "emulator/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace secousti::core::simt::emulator {

namespace {
constexpr std::size_t kStackBytes = 256U * 1024U;  // address space; pages come when touched
}

#if defined(__x86_64__)
// Saves the callee-saved registers of the ABI on the stack, swaps stacks, restores them: no system call, unlike
// swapcontext.
extern "C" void secousti_swap_stacks(void** from, void* to);
asm(R"(
.text
.globl secousti_swap_stacks
.hidden secousti_swap_stacks
.type secousti_swap_stacks,@function
secousti_swap_stacks:
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
.size secousti_swap_stacks,.-secousti_swap_stacks
)");
#endif

struct Fiber::Impl {
    char* stack = nullptr;
    void (*function)(void*) = nullptr;
    void* argument = nullptr;
#if defined(__x86_64__)
    void* own = nullptr;
    void* caller = nullptr;
#else
    ucontext_t own{}, caller{};
#endif
#if defined(__SANITIZE_ADDRESS__)
    void* fake_stack = nullptr;
    void* caller_fake_stack = nullptr;
    const void* caller_bottom = nullptr;
    std::size_t caller_size = 0;
#endif

    void to_fiber() {
#if defined(__SANITIZE_ADDRESS__)
        __sanitizer_start_switch_fiber(&caller_fake_stack, stack, kStackBytes);
#endif
#if defined(__x86_64__)
        secousti_swap_stacks(&caller, own);
#else
        swapcontext(&caller, &own);
#endif
#if defined(__SANITIZE_ADDRESS__)
        __sanitizer_finish_switch_fiber(caller_fake_stack, nullptr, nullptr);
#endif
    }
    void to_caller() {
#if defined(__SANITIZE_ADDRESS__)
        __sanitizer_start_switch_fiber(&fake_stack, caller_bottom, caller_size);
#endif
#if defined(__x86_64__)
        secousti_swap_stacks(&own, caller);
#else
        swapcontext(&own, &caller);
#endif
        arrived();
    }
    void arrived() {
#if defined(__SANITIZE_ADDRESS__)
        __sanitizer_finish_switch_fiber(fake_stack, &caller_bottom, &caller_size);
#endif
    }
};

namespace {
Fiber::Impl* starting = nullptr;  // read by a fiber as its first act

[[noreturn]] void enter() {
    Fiber::Impl* self = starting;
    self->arrived();
    self->function(self->argument);
    for (;;) self->to_caller();  // ended: every further resume returns at once
}
}  // namespace

Fiber::Fiber() : impl_(std::make_unique<Impl>()) {
    void* stack =
        mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) throw std::bad_alloc();
    impl_->stack = static_cast<char*>(stack);
}

Fiber::~Fiber() {
    if (impl_) munmap(impl_->stack, kStackBytes);
}

Fiber::Fiber(Fiber&&) noexcept = default;

void Fiber::start(void (*function)(void*), void* argument) {
    impl_->function = function;
    impl_->argument = argument;
#if defined(__SANITIZE_ADDRESS__)
    impl_->fake_stack = nullptr;
#endif
#if defined(__x86_64__)
    // As secousti_swap_stacks leaves a stack: six registers, then the address to return to. At entry the ABI wants the
    // stack pointer 8 below a multiple of 16.
    auto** top = reinterpret_cast<void**>(impl_->stack + kStackBytes) - 1;
    *--top = reinterpret_cast<void*>(&enter);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    impl_->own = top;
#else
    getcontext(&impl_->own);
    impl_->own.uc_stack.ss_sp = impl_->stack;
    impl_->own.uc_stack.ss_size = kStackBytes;
    impl_->own.uc_link = nullptr;
    makecontext(&impl_->own, reinterpret_cast<void (*)()>(&enter), 0);
#endif
}

void Fiber::resume() {
    starting = impl_.get();
    impl_->to_fiber();
}

void Fiber::suspend() { impl_->to_caller(); }

}  // namespace secousti::core::simt::emulator
