// Two nets: replacements of the C library's functions for memory and locks, which catch what needs no system call; a
// seccomp filter, with which the kernel itself reports every system call, whatever made it.
#include "watch.h"

#include <dlfcn.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <numeric>

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);
}

namespace {

thread_local watch::Counts* watched = nullptr;

void note(const char* name) {
    if (watched == nullptr) return;
    for (std::size_t i = 0; i < watch::Counts::kNames; ++i) {
        if (watched->names[i] == nullptr) watched->names[i] = name;
        if (watched->names[i] == name) {
            ++watched->calls[i];
            return;
        }
    }
}

/// The C library's own function of that name.
template <class Function>
Function* original(const char* name, Function*& found) {
    if (found == nullptr) {
        watch::Counts* const before = watched;
        watched = nullptr;
        found = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
        watched = before;
    }
    return found;
}

void on_trap(int, siginfo_t* info, void*) {
    const auto number = static_cast<std::size_t>(info->si_syscall);
    if (watched != nullptr && number < watch::Counts::kSystemCalls) ++watched->system_calls[number];
}

}  // namespace

// NOLINTBEGIN: these are the C library's names.
extern "C" {

void* malloc(std::size_t size) {
    note("malloc");
    return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
    note("calloc");
    return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) {
    note("realloc");
    return __libc_realloc(memory, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
    note("memalign");
    return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
    note("aligned_alloc");
    return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
    note("posix_memalign");
    *memory = __libc_memalign(alignment, size);
    return *memory != nullptr ? 0 : ENOMEM;
}
void free(void* memory) {
    note("free");
    __libc_free(memory);
}

#define SECOUSTI_WATCH(name, type)             \
    int name(type* object) {                   \
        static int (*found)(type*) = nullptr;  \
        note(#name);                           \
        return original(#name, found)(object); \
    }
SECOUSTI_WATCH(pthread_mutex_lock, pthread_mutex_t)
SECOUSTI_WATCH(pthread_mutex_trylock, pthread_mutex_t)
SECOUSTI_WATCH(pthread_mutex_unlock, pthread_mutex_t)
SECOUSTI_WATCH(pthread_rwlock_rdlock, pthread_rwlock_t)
SECOUSTI_WATCH(pthread_rwlock_wrlock, pthread_rwlock_t)
SECOUSTI_WATCH(pthread_cond_signal, pthread_cond_t)
SECOUSTI_WATCH(pthread_cond_broadcast, pthread_cond_t)
SECOUSTI_WATCH(sem_wait, sem_t)
SECOUSTI_WATCH(sem_post, sem_t)
#undef SECOUSTI_WATCH

int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
    static int (*found)(pthread_cond_t*, pthread_mutex_t*) = nullptr;
    note("pthread_cond_wait");
    return original("pthread_cond_wait", found)(condition, mutex);
}
int pthread_spin_lock(pthread_spinlock_t* lock) {
    static int (*found)(pthread_spinlock_t*) = nullptr;
    note("pthread_spin_lock");
    return original("pthread_spin_lock", found)(lock);
}

}  // extern "C"
// NOLINTEND

namespace watch {

bool trap_system_calls() {
    struct sigaction action{};
    action.sa_sigaction = on_trap;
    action.sa_flags = SA_SIGINFO;
    if (sigaction(SIGSYS, &action, nullptr) != 0) return false;
    constexpr std::uint32_t kNumber = offsetof(seccomp_data, nr);
    const auto statement = [](unsigned code, std::uint32_t k) {
        return sock_filter{static_cast<std::uint16_t>(code), 0, 0, k};
    };
    const auto allow = [](std::uint32_t number) {  // else the instruction after the next
        return sock_filter{static_cast<std::uint16_t>(BPF_JMP | BPF_JEQ | BPF_K), 0, 1, number};
    };
    std::array<sock_filter, 8> filter = {
        statement(BPF_LD | BPF_W | BPF_ABS, kNumber),  allow(SYS_exit_group),
        statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), allow(SYS_rt_sigreturn),
        statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), statement(BPF_RET | BPF_K, SECCOMP_RET_TRAP)};
    const sock_fprog program{6, filter.data()};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

void begin(Counts& counts) { watched = &counts; }
void end() { watched = nullptr; }

std::uint64_t Counts::total() const {
    return std::accumulate(calls.begin(), calls.end(), std::uint64_t{0}) +
           std::accumulate(system_calls.begin(), system_calls.end(), std::uint64_t{0});
}

std::string Counts::text() const {
    std::string result;
    const auto add = [&result](const std::string& name, std::uint64_t count) {
        if (count != 0) result += (result.empty() ? "" : ", ") + name + " x" + std::to_string(count);
    };
    for (std::size_t i = 0; i < kNames && names[i] != nullptr; ++i) add(names[i], calls[i]);
    for (std::size_t i = 0; i < kSystemCalls; ++i) add("system call " + std::to_string(i), system_calls[i]);
    return result;
}

}  // namespace watch
