#pragma once
// The names of runtime/cuda/gpu.h on the host: the threads of a block are fibers that take turns at barriers
// and warp operations, blocks run one after another. What a GPU would do silently and wrongly ends the
// launch with an Error: threads that miss a barrier, a misaligned access, an unaligned or foreign
// shared-memory address, a host pointer among a kernel's parameters. Shared memory has its exact size and
// starts as 0xFF bytes, so that the address sanitizer sees what lies outside and NaNs show what was never
// written. C++17, as kernels are.
#include <cmath>

#include "runtime/cuda/gpu_bits.h"
#include "runtime/cuda/launch.h"

namespace demi::gpu {

namespace emulation {

struct Place {
    Dim3 thread, block, block_dim, grid_dim;
    int linear = 0;
};
const Place& place();
void* shared_memory();

void barrier();

// The operations of a warp. Every lane calls `rendezvous` with the address of its operands; when the last has
// come, `work` runs once with all of them, in lane order.
using WarpWork = void (*)(void* const* operands);
void rendezvous(const char* name, void* operands, WarpWork work);

void check_aligned(const void* p, size_t alignment, const char* what);
void check_shared(const void* p, size_t bytes, const char* what);
void cp_async(void* to, const void* from, bool valid);
void cp_async_commit();
void cp_async_wait(int pending);

uint16_t f16_from(float x);
float f16_to(uint16_t bits);

void ldmatrix(uint32_t* r, int count, bool trans, const void* row);
void mma(float* d, const uint32_t* a, const uint32_t* b, bool is_bf16);

// Throws Error where a kernel's parameters hold an address of host memory.
void check_parameters(const char* name, const void* parameters, size_t bytes);
using Body = void (*)(const void* kernel);
void launch(const char* name, const void* kernel, size_t kernel_bytes, Body body, Dim3 grid, Dim3 block,
            size_t shared_bytes);

template <class T> struct Shuffle {
    T value;
    int source;
    T result;
};
template <class T> void shuffle_work(void* const* operands) {
    for (int i = 0; i < 32; ++i) {
        Shuffle<T>& own = *static_cast<Shuffle<T>*>(operands[i]);
        own.result = static_cast<Shuffle<T>*>(operands[own.source & 31])->value;
    }
}
template <class T> T shuffle(const char* name, T value, int source) {
    Shuffle<T> operands{value, source, T()};
    rendezvous(name, &operands, shuffle_work<T>);
    return operands.result;
}
uint32_t ballot(bool predicate);

}  // namespace emulation

inline Dim3 thread_idx() { return emulation::place().thread; }
inline Dim3 block_idx() { return emulation::place().block; }
inline Dim3 block_dim() { return emulation::place().block_dim; }
inline Dim3 grid_dim() { return emulation::place().grid_dim; }
inline int linear_thread() { return emulation::place().linear; }
inline int lane() { return linear_thread() & 31; }
inline int warp() { return linear_thread() >> 5; }
inline void sync_threads() { emulation::barrier(); }
inline void sync_warp() { emulation::rendezvous("sync_warp", nullptr, nullptr); }
template <class T> T* shared() { return static_cast<T*>(emulation::shared_memory()); }

template <class T> T shfl(T v, int source) { return emulation::shuffle("shfl", v, source); }
template <class T> T shfl_xor(T v, int mask) { return emulation::shuffle("shfl_xor", v, lane() ^ mask); }
template <class T> T shfl_down(T v, int delta) {
    return emulation::shuffle("shfl_down", v, lane() + delta < 32 ? lane() + delta : lane());
}
inline uint32_t ballot(bool predicate) { return emulation::ballot(predicate); }

inline Bytes16 load16(const void* p) {
    emulation::check_aligned(p, 16, "load16");
    return *static_cast<const Bytes16*>(p);
}
inline void store16(void* p, Bytes16 v) {
    emulation::check_aligned(p, 16, "store16");
    *static_cast<Bytes16*>(p) = v;
}

inline Bytes8 load8(const void* p) {
    emulation::check_aligned(p, 8, "load8");
    return *static_cast<const Bytes8*>(p);
}
inline void store8(void* p, Bytes8 v) {
    emulation::check_aligned(p, 8, "store8");
    *static_cast<Bytes8*>(p) = v;
}

inline void cp_async16(void* to, const void* from, bool valid) { emulation::cp_async(to, from, valid); }
inline void cp_async_commit() { emulation::cp_async_commit(); }
template <int N> void cp_async_wait() { emulation::cp_async_wait(N); }

inline uint32_t atomic_add(uint32_t* p, uint32_t v) { return (*p += v) - v; }
inline uint64_t atomic_add(uint64_t* p, uint64_t v) { return (*p += v) - v; }
inline void atomic_max_u32(uint32_t* p, uint32_t v) { *p = *p > v ? *p : v; }
inline void atomic_max(uint64_t* p, uint64_t v) { *p = *p > v ? *p : v; }

inline float half_to_float(uint16_t bits) { return emulation::f16_to(bits); }
inline uint16_t float_to_half(float x) { return emulation::f16_from(x); }
inline float half_value(uint16_t bits) { return half_to_float(bits); }
inline float bf16_to_float(uint16_t bits) { return bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
inline uint16_t float_to_bf16(float x) { return float_bits_to_bf16(bit_cast<uint32_t>(x)); }
inline uint32_t pack_f16(float low, float high) {
    return static_cast<uint32_t>(float_to_half(low)) | static_cast<uint32_t>(float_to_half(high)) << 16;
}
inline void unpack_f16(uint32_t pair, float& low, float& high) {
    low = half_to_float(static_cast<uint16_t>(pair));
    high = half_to_float(static_cast<uint16_t>(pair >> 16));
}
inline uint32_t pack_bf16(float low, float high) {
    return static_cast<uint32_t>(float_to_bf16(low)) | static_cast<uint32_t>(float_to_bf16(high)) << 16;
}

inline void ldmatrix_x4(uint32_t (&r)[4], const void* row) { emulation::ldmatrix(r, 4, false, row); }
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) { emulation::ldmatrix(r, 4, true, row); }
inline void ldmatrix_x2(uint32_t (&r)[2], const void* row) { emulation::ldmatrix(r, 2, false, row); }
inline void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row) { emulation::ldmatrix(r, 2, true, row); }
inline void mma_m16n8k16_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    emulation::mma(d, a, b, false);
}
inline void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    emulation::mma(d, a, b, true);
}

inline float exp(float x) { return std::exp(x); }
inline double exp(double x) { return std::exp(x); }
inline float exp2(float x) { return std::exp2(x); }
inline double exp2(double x) { return std::exp2(x); }
inline float exp2_approx(float x) { return x < -126 ? 0.f : std::exp2(x); }
inline float max_number(float a, float b) { return std::fmax(a, b); }
inline float log(float x) { return std::log(x); }
inline double log(double x) { return std::log(x); }
inline float log1p(float x) { return std::log1p(x); }
inline double log1p(double x) { return std::log1p(x); }
inline float sqrt(float x) { return std::sqrt(x); }
inline double sqrt(double x) { return std::sqrt(x); }
inline float rsqrt(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float tanh(float x) { return std::tanh(x); }
inline double tanh(double x) { return std::tanh(x); }
inline float erf(float x) { return std::erf(x); }
inline double erf(double x) { return std::erf(x); }
inline float sin(float x) { return std::sin(x); }
inline double sin(double x) { return std::sin(x); }
inline float cos(float x) { return std::cos(x); }
inline double cos(double x) { return std::cos(x); }
inline float pow(float x, float y) { return std::pow(x, y); }
inline double pow(double x, double y) { return std::pow(x, y); }
inline float frexp(float x, int* e) { return std::frexp(x, e); }
inline double frexp(double x, int* e) { return std::frexp(x, e); }
inline float ldexp(float x, int e) { return std::ldexp(x, e); }
inline double ldexp(double x, int e) { return std::ldexp(x, e); }
inline float fma(float a, float b, float c) { return std::fma(a, b, c); }
inline double fma(double a, double b, double c) { return std::fma(a, b, c); }
inline float abs(float x) { return std::fabs(x); }
inline double abs(double x) { return std::fabs(x); }
inline float floor(float x) { return std::floor(x); }
inline double floor(double x) { return std::floor(x); }
inline float round_to_int(float x) { return std::rint(x); }
inline float infinity() { return HUGE_VALF; }
inline bool is_finite(float x) { return std::isfinite(x); }
inline bool is_finite(double x) { return std::isfinite(x); }

template <class Kernel>
void launch(const Kernel& kernel, Dim3 grid, Dim3 block, size_t shared_bytes, Stream) {
    static_assert(sizeof(Kernel) <= 4096, "a kernel's parameters are limited to 4 KB");
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    check_launch_size(__PRETTY_FUNCTION__, grid, block, shared_bytes, ThreadsOf<Kernel>::value);
    Kernel parameters = kernel;
#if __has_builtin(__builtin_clear_padding)
    __builtin_clear_padding(&parameters);  // its bytes could look like an address of the host
    emulation::check_parameters(__PRETTY_FUNCTION__, &parameters, sizeof(Kernel));
#endif
    emulation::launch(
        __PRETTY_FUNCTION__, &parameters, sizeof(Kernel),
        [](const void* k) { (*static_cast<const Kernel*>(k))(); }, grid, block, shared_bytes);
}

}  // namespace demi::gpu
