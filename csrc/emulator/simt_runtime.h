// The SIMT emulator: what simt.cuh means where no GPU compiler is at work. Blocks run one after the other; the threads
// of a block are fibers, switched at barriers and warp operations only. Every access to device and shared memory is
// checked: bounds, alignment, initialisation, and ordering between threads (see simt.cuh). A violation throws Fault.
#pragma once

#include <bit>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <type_traits>

#define SIMT_DEVICE inline
#define SIMT_UNROLL
#define SIMT_UNROLL_BY(n)

namespace secousti::core::simt {

enum class FaultKind {
    out_of_bounds,    ///< outside of a device buffer or of an array in shared memory
    misaligned,       ///< a vector access that is not aligned to its size
    uninitialised,    ///< a load of bytes that nothing has written
    race,             ///< unordered accesses of two threads
    divergence,       ///< a barrier or warp operation that not all threads reach, or at different places
    before_previous,  ///< memory touched before wait_for_previous(), or a thread that ends without it
    launch,           ///< a shape that no GPU launches
};

class Fault : public std::runtime_error {
  public:
    Fault(FaultKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
    FaultKind kind() const noexcept { return kind_; }

  private:
    FaultKind kind_;
};

namespace emulator {

struct Memory;  // a device buffer, or the shared memory of a block

/// Where a pointer may go, and the memory that it is a part of.
struct Range {
    Memory* memory = nullptr;
    const char* begin = nullptr;
    const char* end = nullptr;
};

Range range_of(const void* device);
Range take_shared(std::size_t& offset, std::size_t bytes);

enum class Access { read, write, constant, settled };
void check(const Range& range, const void* p, std::size_t bytes, Access access);

/// All lanes of the warp meet here; the last one to come runs `last`.
void meet(const char* operation, const char* file, int line, const std::function<void()>* last = nullptr);
/// The exchange cell of a lane of the current warp, for the current or the meeting just ended.
std::uint64_t& cell(int lane);
void flip_cells();
/// Registers that the lanes bring to a matrix product.
struct MatrixLane {
    void* d;
    const std::uint32_t* a;
    const std::uint32_t* b;
};
void mma(const MatrixLane& mine, bool integers, const char* file, int line);

void run(const char* name, Grid grid, int threads, std::size_t shared_bytes, const std::function<void()>& body);
void submit(void* handle, std::function<void()> work);

int index(int which);

}  // namespace emulator

template <class T, int N>
struct alignas(sizeof(T) * N) Vector {
    T at[N];
    T& operator[](int i) { return at[i]; }
    const T& operator[](int i) const { return at[i]; }
};

template <class T>
class Reference {
  public:
    Reference(T* p, const emulator::Range& range) : p_(p), range_(range) {}
    Reference(const Reference&) = default;
    operator T() const {
        emulator::check(range_, p_, sizeof(T), emulator::Access::read);
        return *p_;
    }
    const Reference& operator=(T v) const {
        emulator::check(range_, p_, sizeof(T), emulator::Access::write);
        *p_ = v;
        return *this;
    }
    const Reference& operator=(const Reference& other) const { return *this = static_cast<T>(other); }
    const Reference& operator+=(T v) const { return *this = static_cast<T>(*this) + v; }
    const Reference& operator*=(T v) const { return *this = static_cast<T>(*this) * v; }

  private:
    T* p_;
    const emulator::Range& range_;
};

template <class T>
class Checked {
  public:
    Checked() = default;
    Checked(std::nullptr_t) {}
    Checked(T* p, const emulator::Range& range) : p_(p), range_(range) {}
    operator Checked<const T>() const { return {p_, range_}; }
    explicit operator bool() const { return p_ != nullptr; }
    bool operator==(std::nullptr_t) const { return p_ == nullptr; }

    Checked operator+(std::ptrdiff_t n) const { return {p_ + n, range_}; }
    Checked operator-(std::ptrdiff_t n) const { return {p_ - n, range_}; }
    Checked& operator+=(std::ptrdiff_t n) {
        p_ += n;
        return *this;
    }
    auto operator[](std::ptrdiff_t i) const {
        if constexpr (std::is_const_v<T>) {
            emulator::check(range_, p_ + i, sizeof(T), emulator::Access::read);
            return p_[i];
        } else {
            return Reference<T>(p_ + i, range_);
        }
    }
    auto operator*() const { return (*this)[0]; }

    T* raw() const { return p_; }
    const emulator::Range& range() const { return range_; }

  private:
    T* p_ = nullptr;
    emulator::Range range_;
};

template <class T>
using Global = Checked<T>;
template <class T>
using Shared = Checked<T>;

template <class T>
Global<T> global(T* p) {
    return p == nullptr ? Global<T>() : Global<T>(p, emulator::range_of(p));
}

class SharedArena {
  public:
    template <class T>
    Shared<T> take(int count) {
        const emulator::Range range = emulator::take_shared(offset_, static_cast<std::size_t>(count) * sizeof(T));
        return {reinterpret_cast<T*>(const_cast<char*>(range.begin)), range};
    }

  private:
    std::size_t offset_ = 0;
};

inline int thread() { return emulator::index(0); }
inline int lane() { return thread() % kWarp; }
inline int warp() { return thread() / kWarp; }
inline int block_x() { return emulator::index(1); }
inline int block_y() { return emulator::index(2); }
inline int block_z() { return emulator::index(3); }
inline int blocks_x() { return emulator::index(4); }

void barrier(const char* file = __builtin_FILE(), int line = __builtin_LINE());
void warp_barrier(const char* file = __builtin_FILE(), int line = __builtin_LINE());
void wait_for_previous();
void let_next_start();

template <class T>
T shuffle(T v, int from, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    static_assert(sizeof(T) <= sizeof(std::uint64_t));
    std::memcpy(&emulator::cell(lane()), &v, sizeof(T));
    emulator::meet("shuffle", file, line);
    T result;
    std::memcpy(&result, &emulator::cell(from % kWarp), sizeof(T));
    emulator::flip_cells();
    return result;
}
template <class T>
T shuffle_xor(T v, int mask, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return shuffle(v, lane() ^ mask, file, line);
}
inline unsigned ballot(bool v, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    emulator::cell(lane()) = v ? 1 : 0;
    emulator::meet("ballot", file, line);
    unsigned bits = 0;
    for (int i = 0; i < kWarp; ++i) bits |= static_cast<unsigned>(emulator::cell(i) & 1U) << i;
    emulator::flip_cells();
    return bits;
}

template <int N, class T>
Vector<std::remove_const_t<T>, N> load_as(const Checked<T>& p, emulator::Access access) {
    constexpr int kBytes = N * static_cast<int>(sizeof(T));
    static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
    emulator::check(p.range(), p.raw(), kBytes, access);
    Vector<std::remove_const_t<T>, N> v;
    std::memcpy(&v, p.raw(), kBytes);
    return v;
}
template <int N, class T>
Vector<std::remove_const_t<T>, N> load(const Checked<T>& p) {
    return load_as<N>(p, emulator::Access::read);
}
template <int N, class T>
Vector<std::remove_const_t<T>, N> load_constant(const Checked<T>& p) {
    return load_as<N>(p, emulator::Access::constant);
}
template <class T>
std::remove_const_t<T> load_constant(const Checked<T>& p) {
    emulator::check(p.range(), p.raw(), sizeof(T), emulator::Access::constant);
    return *p.raw();
}
template <int N, class T>
Vector<std::remove_const_t<T>, N> load_settled(const Checked<T>& p) {
    return load_as<N>(p, emulator::Access::settled);
}
template <class T>
std::remove_const_t<T> load_settled(const Checked<T>& p) {
    emulator::check(p.range(), p.raw(), sizeof(T), emulator::Access::settled);
    return *p.raw();
}
template <int N, class T>
void store(const Checked<T>& p, const Vector<T, N>& v) {
    constexpr int kBytes = N * static_cast<int>(sizeof(T));
    static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
    emulator::check(p.range(), p.raw(), kBytes, emulator::Access::write);
    std::memcpy(p.raw(), &v, kBytes);
}

inline std::uint32_t bf16_bits(float x) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
    return (x == x ? bits + 0x7FFFU + ((bits >> 16U) & 1U) : bits | 0x00400000U) >> 16U;
}
inline std::uint32_t pack_bf16(float low, float high) { return bf16_bits(low) | bf16_bits(high) << 16U; }
inline float bf16_low(std::uint32_t pair) { return std::bit_cast<float>(pair << 16U); }
inline float bf16_high(std::uint32_t pair) { return std::bit_cast<float>(pair & 0xFFFF0000U); }

inline void mma_bf16(float (&d)[4], const Vector<std::uint32_t, 4>& a, const Vector<std::uint32_t, 2>& b,
                     const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    emulator::mma({d, a.at, b.at}, false, file, line);
}
inline void mma_int8(std::int32_t (&d)[4], const Vector<std::uint32_t, 4>& a, const Vector<std::uint32_t, 2>& b,
                     const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    emulator::mma({d, a.at, b.at}, true, file, line);
}

inline void cos_sin_of_turns(double turns, float& cosine, float& sine) {
    const double angle = turns * 6.283185307179586476925286766559;
    cosine = static_cast<float>(std::cos(angle));
    sine = static_cast<float>(std::sin(angle));
}

template <class Kernel>
void launch(const cuda::CudaQueue& queue, Grid grid, std::size_t shared_bytes, const typename Kernel::Args& args) {
    emulator::submit(queue.handle(), [=] {
        emulator::run(__PRETTY_FUNCTION__, grid, Kernel::kThreads, shared_bytes, [&] { Kernel::run(args); });
    });
}

}  // namespace secousti::core::simt
