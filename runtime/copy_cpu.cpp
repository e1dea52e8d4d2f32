#include "runtime/copy_kernels.h"
#include "runtime/simd.h"

namespace demi::DEMI_BACKEND {
namespace {

// ---- contiguous f16, bf16 and f32: vectors. Every instruction set gives the bits of half.h, NaN payloads included

template <class To, class From> DEMI_INLINE void convert_run(To* dst, const From* src, int64_t count) {
    int64_t i = 0;
    for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
        const vf a = loadu(src + i), b = loadu(src + i + kLanes);
        const vf c = loadu(src + i + 2 * kLanes), d = loadu(src + i + 3 * kLanes);
        storeu(dst + i, a);
        storeu(dst + i + kLanes, b);
        storeu(dst + i + 2 * kLanes, c);
        storeu(dst + i + 3 * kLanes, d);
    }
    for (; i + kLanes <= count; i += kLanes) storeu(dst + i, loadu(src + i));
    if (i < count)
        store_n(dst + i, load_n(src + i, static_cast<int>(count - i)), static_cast<int>(count - i));
}

template <class To, class From> DEMI_INLINE void add_run(To* dst, const From* src, int64_t count) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) storeu(dst + i, loadu(dst + i) + loadu(src + i));
    const int n = static_cast<int>(count - i);
    if (n > 0) store_n(dst + i, load_n(dst + i, n) + load_n(src + i, n), n);
}

bool is_small(DType dtype) { return dtype <= DType::f32; }

// fn(dst, src) in their types, both f16, bf16 or f32.
template <class To, class F> DEMI_INLINE void small_source(To* dst, ConstMem src, const F& fn) {
    if (src.dtype == DType::f16) return fn(dst, static_cast<const Half*>(src.data));
    if (src.dtype == DType::bf16) return fn(dst, static_cast<const BFloat16*>(src.data));
    fn(dst, static_cast<const float*>(src.data));
}
template <class F> DEMI_INLINE void small_pair(Mem dst, ConstMem src, const F& fn) {
    if (dst.dtype == DType::f16) return small_source(static_cast<Half*>(dst.data), src, fn);
    if (dst.dtype == DType::bf16) return small_source(static_cast<BFloat16*>(dst.data), src, fn);
    small_source(static_cast<float*>(dst.data), src, fn);
}

void convert(Mem dst, ConstMem src, int64_t count) {
    small_pair(
        dst, src, [&](auto* to, auto* from) __attribute__((always_inline)) { convert_run(to, from, count); });
}

// ---- everything else: a block at a time through the type that holds every value of the source

constexpr int64_t kBlock = 256;

template <class T> struct HeldIn { typedef float type; };
template <> struct HeldIn<double> { typedef double type; };
template <> struct HeldIn<int32_t> { typedef int64_t type; };
template <> struct HeldIn<int64_t> { typedef int64_t type; };
template <class T> using held_t = typename HeldIn<T>::type;

template <class A, class B> constexpr bool kSame = false;
template <class A> constexpr bool kSame<A, A> = true;
template <class T> constexpr bool kSmall = kSame<T, Half> || kSame<T, BFloat16> || kSame<T, float>;

DEMI_INLINE float value(Half x) { return to_float(x); }
DEMI_INLINE float value(BFloat16 x) { return to_float(x); }
template <class T> DEMI_INLINE held_t<T> value(T x) { return static_cast<held_t<T>>(x); }

// f64 and integers to f16 must round once; going through f32 rounds twice. Rounding to odd on the way keeps
// the dropped bits visible, so that the last rounding sees every tie as what it is.
DEMI_INLINE float round_to_odd(double x) {
    const float y = static_cast<float>(x);
    if (static_cast<double>(y) == x || y - y != 0) return y;
    const uint32_t bits = float_to_bits(y);
    if ((bits & 1u) != 0) return y;
    return bits_to_float(abs(static_cast<double>(y)) > abs(x) ? bits - 1 : bits + 1);
}
DEMI_INLINE float rounded_to_odd(float x) { return x; }
DEMI_INLINE float rounded_to_odd(double x) { return round_to_odd(x); }
DEMI_INLINE float rounded_to_odd(int64_t x) {
    const int64_t sticky = (x & 0x7ff) != 0 ? 1 : 0, limit = INT64_C(1) << 53;
    return round_to_odd(x > -limit && x < limit ? static_cast<double>(x)
                                                : static_cast<double>(x >> 11 | sticky) * 2048.0);
}

template <class T> constexpr T kMost = static_cast<T>(-1);
template <> constexpr int32_t kMost<int32_t> = INT32_MAX;
template <> constexpr int64_t kMost<int64_t> = INT64_MAX;
template <class T> constexpr T kLeast = kSame<T, uint8_t> ? 0 : -kMost<T> - 1;

template <class T, class C> DEMI_INLINE void put_value(T* to, C x) {
    if constexpr (kSame<T, bool>) {
        *to = x != 0;
    } else if constexpr (kSmall<T> && sizeof(T) == 2) {
        from_float(rounded_to_odd(x), to);
    } else if constexpr (!kSmall<T> && !kSame<T, double> && !kSame<C, int64_t>) {
        // out-of-range floats saturate, NaN becomes 0: the plain cast would be undefined
        const double v = static_cast<double>(x);
        constexpr double low = static_cast<double>(kLeast<T>), high = static_cast<double>(kMost<T>);
        *to = !(v == v) ? T{0} : v <= low ? kLeast<T> : v >= high ? kMost<T> : static_cast<T>(v);
    } else {
        *to = static_cast<T>(x);
    }
}

template <class T> void load_block(void* held, const void* from, int64_t step, int64_t count) {
    // The bytes of a bool that was never written may be anything, which no bool may hold.
    typedef unsigned char Byte;
    if constexpr (kSame<T, bool>) {
        const Byte* src = static_cast<const Byte*>(from);
        for (int64_t i = 0; i < count; ++i) static_cast<float*>(held)[i] = src[i * step] != 0 ? 1.f : 0.f;
    } else {
        held_t<T>* out = static_cast<held_t<T>*>(held);
        const T* src = static_cast<const T*>(from);
        if constexpr (kSmall<T>)
            if (step == 1) return convert_run(out, src, count);
        for (int64_t i = 0; i < count; ++i) out[i] = value(src[i * step]);
    }
}
template <class T> void store_run(void* to, int64_t step, const void* held, int64_t count) {
    T* dst = static_cast<T*>(to);
    const float* src = static_cast<const float*>(held);
    if (step == 1) return convert_run(dst, src, count);
    for (int64_t i = 0; i < count; ++i) put_value(dst + i * step, src[i]);
}
// Rare, and many: compiled for size, which halves this file.
template <class T, class C>
[[gnu::cold]] void store_any(void* to, int64_t step, const void* held, int64_t count) {
    const C* src = static_cast<const C*>(held);
    for (int64_t i = 0; i < count; ++i) put_value(static_cast<T*>(to) + i * step, src[i]);
}

typedef void (*LoadBlock)(void* held, const void* from, int64_t step, int64_t count);
typedef void (*StoreBlock)(void* to, int64_t step, const void* held, int64_t count);

// In the order of DType.
constexpr LoadBlock kLoad[] = {load_block<Half>,    load_block<BFloat16>, load_block<float>,
                               load_block<double>,  load_block<int32_t>,  load_block<int64_t>,
                               load_block<uint8_t>, load_block<bool>};
template <class C>
constexpr StoreBlock kStore[] = {store_any<Half, C>,    store_any<BFloat16, C>, store_any<float, C>,
                                 store_any<double, C>,  store_any<int32_t, C>,  store_any<int64_t, C>,
                                 store_any<uint8_t, C>, store_any<bool, C>};
template <>
constexpr StoreBlock kStore<float>[] = {
    store_run<Half>,           store_run<BFloat16>,       store_run<float>,          store_any<double, float>,
    store_any<int32_t, float>, store_any<int64_t, float>, store_any<uint8_t, float>, store_any<bool, float>};

// The conversion of a pair of dtypes.
struct Pair {
    LoadBlock load;
    StoreBlock store;
    bool as_is;  // the source is held as it is stored

    Pair(DType to, DType from)
        : load(kLoad[static_cast<int>(from)]),
          store(from == DType::f64                         ? kStore<double>[static_cast<int>(to)]
                : from == DType::i32 || from == DType::i64 ? kStore<int64_t>[static_cast<int>(to)]
                                                           : kStore<float>[static_cast<int>(to)]),
          as_is(from == DType::f32 || from == DType::f64 || from == DType::i64) {}
};

// Both sides of a row of a walk.
struct Row {
    char* dst;
    const char* src;
    int64_t dst_step, src_step, count;
};
template <class F> DEMI_INLINE void for_each_pair_row(const CopyCall& c, const F& fn) {
    const int64_t dst_size = static_cast<int64_t>(size_of(c.dst.dtype));
    const int64_t src_size = static_cast<int64_t>(size_of(c.src.dtype));
    const int64_t dst_step = c.walk.strides[0][c.walk.rank - 1],
                  src_step = c.walk.strides[1][c.walk.rank - 1];
    for_each_row(c.walk, [&](const Offsets<2>& first, int64_t count) {
        fn(Row{static_cast<char*>(c.dst.data) + first.at[0] * dst_size,
               static_cast<const char*>(c.src.data) + first.at[1] * src_size, dst_step, src_step, count});
    });
}

template <class Bits> void move_row(const Row& r) {
    Bits* dst = reinterpret_cast<Bits*>(r.dst);
    const Bits* src = reinterpret_cast<const Bits*>(r.src);
    if (r.dst_step == 1 && r.src_step == 1)
        __builtin_memcpy(dst, src, static_cast<size_t>(r.count) * sizeof(Bits));
    else
        for (int64_t i = 0; i < r.count; ++i) dst[i * r.dst_step] = src[i * r.src_step];
}

void copy(const CopyCall& c, Queue) {
    const size_t size = size_of(c.dst.dtype);
    if (c.dst.dtype == c.src.dtype) {
        void (*const move)(const Row&) = size == 1   ? move_row<uint8_t>
                                         : size == 2 ? move_row<uint16_t>
                                         : size == 4 ? move_row<uint32_t>
                                                     : move_row<uint64_t>;
        return for_each_pair_row(c, [&](const Row& r) { move(r); });
    }
    const Pair pair(c.dst.dtype, c.src.dtype);
    const bool small = is_small(c.dst.dtype) && is_small(c.src.dtype);
    for_each_pair_row(c, [&](const Row& r) {
        if (small && r.dst_step == 1 && r.src_step == 1)
            return convert({r.dst, c.dst.dtype}, {r.src, c.src.dtype}, r.count);
        alignas(64) double held[kBlock];
        for (int64_t i = 0; i < r.count; i += kBlock) {
            const int64_t n = r.count - i < kBlock ? r.count - i : kBlock;
            const void* from = r.src + i * r.src_step * static_cast<int64_t>(size_of(c.src.dtype));
            const bool there = pair.as_is && r.src_step == 1;
            if (!there) pair.load(held, from, r.src_step, n);
            pair.store(r.dst + i * r.dst_step * static_cast<int64_t>(size), r.dst_step, there ? from : held,
                       n);
        }
    });
}

// A block of floats of any dtype as C, double or, where none of them is f64, float.
template <class C> DEMI_INLINE void load_as(C* out, ConstMem from, int64_t step, int64_t count) {
    if (kSame<C, float> || from.dtype == DType::f64)
        return kLoad[static_cast<int>(from.dtype)](out, from.data, step, count);
    float values[kBlock];
    kLoad[static_cast<int>(from.dtype)](values, from.data, step, count);
    for (int64_t i = 0; i < count; ++i) out[i] = static_cast<C>(values[i]);
}

template <class C> DEMI_INLINE void add_row(const Row& r, DType to, DType from) {
    C sum[kBlock], x[kBlock];
    for (int64_t i = 0; i < r.count; i += kBlock) {
        const int64_t n = r.count - i < kBlock ? r.count - i : kBlock;
        char* dst = r.dst + i * r.dst_step * static_cast<int64_t>(size_of(to));
        load_as(sum, {dst, to}, r.dst_step, n);
        load_as(x, {r.src + i * r.src_step * static_cast<int64_t>(size_of(from)), from}, r.src_step, n);
        for (int64_t j = 0; j < n; ++j) sum[j] = sum[j] + x[j];
        kStore<C>[static_cast<int>(to)](dst, r.dst_step, sum, n);
    }
}

void accumulate(const CopyCall& c, Queue) {
    const bool small = is_small(c.dst.dtype) && is_small(c.src.dtype);
    for_each_pair_row(c, [&](const Row& r) {
        if (!small) return add_row<double>(r, c.dst.dtype, c.src.dtype);
        if (r.dst_step != 1 || r.src_step != 1) return add_row<float>(r, c.dst.dtype, c.src.dtype);
        small_pair(
            {r.dst, c.dst.dtype},
            {r.src, c.src.dtype}, [&](auto* to, auto* from) __attribute__((always_inline)) {
                add_run(to, from, r.count);
            });
    });
}

template <class Bits> DEMI_INLINE void fill_bits(const FillCall& c, const void* value) {
    const Bits x = *static_cast<const Bits*>(value);
    const int64_t step = c.walk.strides[0][c.walk.rank - 1];
    for_each_row(c.walk, [&](const Offsets<1>& first, int64_t count) {
        Bits* dst = static_cast<Bits*>(c.dst.data) + first.at[0];
        for (int64_t i = 0; i < count; ++i) dst[i * step] = x;
    });
}

void fill(const FillCall& c, Queue) {
    uint64_t bits = 0;
    kStore<double>[static_cast<int>(c.dst.dtype)](&bits, 1, &c.value, 1);
    switch (size_of(c.dst.dtype)) {
    case 1: return fill_bits<uint8_t>(c, &bits);
    case 2: return fill_bits<uint16_t>(c, &bits);
    case 4: return fill_bits<uint32_t>(c, &bits);
    default: return fill_bits<uint64_t>(c, &bits);
    }
}

void find_not_finite(const FiniteCall& c, Queue) {
    const int64_t step = c.walk.strides[0][c.walk.rank - 1], size = static_cast<int64_t>(size_of(c.x.dtype));
    for_each_row(c.walk, [&](const Offsets<1>& first, int64_t count) {
        const char* x = static_cast<const char*>(c.x.data) + first.at[0] * size;
        double held[kBlock], wide = 0;
        vf sum = zero();  // x * 0 is NaN for every x that is not finite
        for (int64_t i = 0; i < count; i += kBlock) {
            const int64_t n = count - i < kBlock ? count - i : kBlock;
            kLoad[static_cast<int>(c.x.dtype)](held, x + i * step * size, step, n);
            if (c.x.dtype == DType::f64) {
                for (int64_t j = 0; j < n; ++j) wide += held[j] * 0;
                continue;
            }
            const float* values = reinterpret_cast<const float*>(held);
            for (int64_t j = 0; j < n; j += kLanes)
                sum = sum +
                      (n - j >= kLanes ? loadu(values + j) : load_n(values + j, static_cast<int>(n - j))) *
                          zero();
        }
        if (wide != 0 || hsum(sum) != 0) __atomic_store_n(c.bad, 1u, __ATOMIC_RELAXED);
    });
}

}  // namespace

const CopyKernels copy_kernels = {copy, accumulate, fill, find_not_finite, convert};

}  // namespace demi::DEMI_BACKEND
