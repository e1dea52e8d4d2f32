#pragma once
// What kernel files of the GPU (*_cuda.cu) are written with, beside runtime/cuda/gpu.h: packs of sixteen bytes.
#include "ops/kernel.h"
#include "runtime/cuda/gpu.h"

namespace demi::DEMI_BACKEND {

template <class A, class B> struct IsSame { static constexpr bool value = false; };
template <class A> struct IsSame<A, A> { static constexpr bool value = true; };

using gpu::Bytes16;

template <class T> constexpr int kPack = static_cast<int>(16 / sizeof(T));  // elements in sixteen bytes
template <class T> struct Values { gpu::compute_t<T> v[kPack<T>]; };

// ---- bits of a Bytes16 <-> elements; `i` is a constant once loops are unrolled -------------------------
template <class T> DEMI_DEVICE T get_element(const Bytes16& b, int i) {
    if constexpr (sizeof(T) == 2)
        return gpu::bit_cast<T>(static_cast<uint16_t>(i % 2 == 0 ? b.w[i / 2] & 0xffffu : b.w[i / 2] >> 16));
    else if constexpr (sizeof(T) == 4)
        return gpu::bit_cast<T>(b.w[i]);
    else
        return gpu::bit_cast<T>(uint64_t{b.w[2 * i]} | uint64_t{b.w[2 * i + 1]} << 32);
}
template <class T> DEMI_DEVICE void set_element(Bytes16& b, int i, T x) {
    if constexpr (sizeof(T) == 2) {
        const uint32_t word = b.w[i / 2], wide = gpu::bit_cast<uint16_t>(x);
        b.w[i / 2] = i % 2 == 0 ? (word & 0xffff0000u) | wide : (word & 0xffffu) | wide << 16;
    } else if constexpr (sizeof(T) == 4) {
        b.w[i] = gpu::bit_cast<uint32_t>(x);
    } else {
        const uint64_t bits = gpu::bit_cast<uint64_t>(x);
        b.w[2 * i] = static_cast<uint32_t>(bits);
        b.w[2 * i + 1] = static_cast<uint32_t>(bits >> 32);
    }
}

// `count` elements from p, zeros behind them. aligned: p is, and all kPack<T> elements are there.
template <class T> DEMI_DEVICE Bytes16 read_pack(const T* p, int count, bool aligned) {
    if (aligned) return gpu::load16(p);
    Bytes16 b{{0, 0, 0, 0}};
    DEMI_UNROLL
    for (int i = 0; i < kPack<T>; ++i)
        if (i < count) set_element(b, i, p[i]);
    return b;
}
template <class T> DEMI_DEVICE void write_pack(T* p, const Bytes16& b, int count, bool aligned) {
    if (aligned) return gpu::store16(p, b);
    DEMI_UNROLL
    for (int i = 0; i < kPack<T>; ++i)
        if (i < count) p[i] = get_element<T>(b, i);
}

// Two 16-bit elements in a word, as arithmetic wants them: it loses a NaN's payload anyway.
template <class T> struct Pair;
template <> struct Pair<Half> {
    static DEMI_DEVICE float low(uint32_t w) { return gpu::half_value(static_cast<uint16_t>(w & 0xffffu)); }
    static DEMI_DEVICE float high(uint32_t w) { return gpu::half_value(static_cast<uint16_t>(w >> 16)); }
    static DEMI_DEVICE uint32_t of(float low, float high) { return gpu::pack_f16(low, high); }
};
template <> struct Pair<BFloat16> {
    static DEMI_DEVICE float low(uint32_t w) { return gpu::bit_cast<float>(w << 16); }
    static DEMI_DEVICE float high(uint32_t w) { return gpu::bit_cast<float>(w & 0xffff0000u); }
    static DEMI_DEVICE uint32_t of(float low, float high) { return gpu::pack_bf16(low, high); }
};

template <class T> DEMI_DEVICE Values<T> unpack(const Bytes16& b) {
    Values<T> x;
    DEMI_UNROLL
    for (int i = 0; i < kPack<T>; ++i) {
        if constexpr (sizeof(T) == 2)
            x.v[i] = i % 2 == 0 ? Pair<T>::low(b.w[i / 2]) : Pair<T>::high(b.w[i / 2]);
        else
            x.v[i] = get_element<T>(b, i);
    }
    return x;
}
template <class T> DEMI_DEVICE Bytes16 pack(const Values<T>& x) {
    Bytes16 b{{0, 0, 0, 0}};
    if constexpr (sizeof(T) == 2) {
        DEMI_UNROLL
        for (int k = 0; k < 4; ++k) b.w[k] = Pair<T>::of(x.v[2 * k], x.v[2 * k + 1]);
    } else {
        DEMI_UNROLL
        for (int i = 0; i < kPack<T>; ++i) set_element<T>(b, i, x.v[i]);
    }
    return b;
}

template <class T> DEMI_DEVICE Values<T> read_values(const T* p, int count, bool aligned) {
    return unpack<T>(read_pack(p, count, aligned));
}
template <class T> DEMI_DEVICE void write_values(T* p, const Values<T>& x, int count, bool aligned) {
    write_pack(p, pack<T>(x), count, aligned);
}

// As many values as a pack of T has, from memory in compute_t<T>: parameters beside 16-bit data.
template <class T> DEMI_DEVICE Values<T> read_beside(const gpu::compute_t<T>* p, int count, bool aligned) {
    typedef gpu::compute_t<T> C;
    Values<T> x;
    DEMI_UNROLL
    for (int k = 0; k < kPack<T> / kPack<C>; ++k) {
        const int left = count - k * kPack<C>;
        const Values<C> part = read_values(p + k * kPack<C>, left, aligned);
        DEMI_UNROLL
        for (int i = 0; i < kPack<C>; ++i) x.v[k * kPack<C> + i] = part.v[i];
    }
    return x;
}

// As many elements of Y as a pack of T has: T itself, or 16-bit data beside f32.
template <class T, class Y> struct Aside {
    static_assert(sizeof(T) == 4 && sizeof(Y) == 2, "a 16-bit type beside f32");
    typedef gpu::Bytes8 Bits;
    static DEMI_DEVICE Bits read(const Y* p, int count, bool aligned) {
        if (aligned) return gpu::load8(p);
        Bits b{{0, 0}};
        DEMI_UNROLL
        for (int i = 0; i < kPack<T>; ++i)
            if (i < count) b.w[i / 2] |= static_cast<uint32_t>(p[i].bits) << 16 * (i % 2);
        return b;
    }
    static DEMI_DEVICE Values<T> values(const Bits& b) {
        return {{Pair<Y>::low(b.w[0]), Pair<Y>::high(b.w[0]), Pair<Y>::low(b.w[1]), Pair<Y>::high(b.w[1])}};
    }
    static DEMI_DEVICE void write(Y* p, const Values<T>& x, int count, bool aligned) {
        const Bits b{{Pair<Y>::of(x.v[0], x.v[1]), Pair<Y>::of(x.v[2], x.v[3])}};
        if (aligned) return gpu::store8(p, b);
        DEMI_UNROLL
        for (int i = 0; i < kPack<T>; ++i)
            if (i < count) p[i].bits = static_cast<uint16_t>(b.w[i / 2] >> 16 * (i % 2));
    }
};
template <class T> struct Aside<T, T> {
    typedef Bytes16 Bits;
    static DEMI_DEVICE Bits read(const T* p, int count, bool aligned) { return read_pack(p, count, aligned); }
    static DEMI_DEVICE Values<T> values(const Bits& b) { return unpack<T>(b); }
    static DEMI_DEVICE void write(T* p, const Values<T>& x, int count, bool aligned) {
        write_values(p, x, count, aligned);
    }
};

// Packs of a flat array: fn(first element, count, aligned) for the packs of this thread.
template <class T, class F> DEMI_DEVICE void for_flat_packs(int64_t count, bool aligned, F&& fn) {
    const int64_t packs = (count + kPack<T> - 1) / kPack<T>;
    for (int64_t p = gpu::global_index(); p < packs; p += gpu::global_size()) {
        const int64_t at = p * kPack<T>;
        const int64_t left = count - at;
        fn(at, left < kPack<T> ? static_cast<int>(left) : kPack<T>, aligned && left >= kPack<T>);
    }
}

// True where every pointer starts a 16-byte line.
template <class... P> inline bool all_aligned(P... pointers) {
    return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace demi::DEMI_BACKEND
