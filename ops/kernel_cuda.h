#pragma once
// What kernel files of the GPU (*_cuda.cu) are written with, beside runtime/cuda/gpu.h: packs of sixteen bytes.
#include "ops/kernel.h"
#include "runtime/cuda/convert.h"

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

// ---- elements whose type is known at run time only. The question costs little: all threads answer it alike.
template <class C> DEMI_DEVICE C load_any(const void* base, DType type, int64_t at) {
    switch (type) {
    case DType::f32: return static_cast<C>(static_cast<const float*>(base)[at]);
    case DType::f16: return static_cast<C>(gpu::load(static_cast<const Half*>(base) + at));
    case DType::bf16: return static_cast<C>(gpu::load(static_cast<const BFloat16*>(base) + at));
    case DType::f64: return static_cast<C>(static_cast<const double*>(base)[at]);
    case DType::i32: return static_cast<C>(static_cast<const int32_t*>(base)[at]);
    case DType::i64: return static_cast<C>(static_cast<const int64_t*>(base)[at]);
    case DType::u8: return static_cast<C>(static_cast<const uint8_t*>(base)[at]);
    case DType::boolean: return static_cast<C>(static_cast<const bool*>(base)[at]);
    }
    return C(0);
}

template <class C> DEMI_DEVICE void store_any(void* base, DType type, int64_t at, C x) {
    switch (type) {
    case DType::f32: static_cast<float*>(base)[at] = static_cast<float>(x); break;
    case DType::f16: static_cast<Half*>(base)[at] = gpu::convert<Half>(x); break;
    case DType::bf16: static_cast<BFloat16*>(base)[at] = gpu::convert<BFloat16>(x); break;
    case DType::f64: static_cast<double*>(base)[at] = static_cast<double>(x); break;
    case DType::i32: static_cast<int32_t*>(base)[at] = gpu::convert<int32_t>(x); break;
    case DType::i64: static_cast<int64_t*>(base)[at] = gpu::convert<int64_t>(x); break;
    case DType::u8: static_cast<uint8_t*>(base)[at] = gpu::convert<uint8_t>(x); break;
    case DType::boolean: static_cast<bool*>(base)[at] = x != C(0); break;
    }
}

// ---- who does what -------------------------------------------------------------------------------------
// body(i) for every i below `count`, a thread each.
template <class Body> struct EachIndex {
    static constexpr int threads = 256;
    Body body;
    int64_t count;
    DEMI_DEVICE void operator()() const {
        for (int64_t i = gpu::global_index(); i < count; i += gpu::global_size()) body(i);
    }
};
template <class Body> void launch_each(const Body& body, int64_t count, Queue queue) {
    gpu::launch(EachIndex<Body>{body, count}, gpu::blocks_for(count, 256), {256}, 0, queue.stream);
}
// fn(i) for every i below `count` that this warp of a block of kThreads takes.
template <int kThreads, class F> DEMI_DEVICE void for_warps(int64_t count, F&& fn) {
    constexpr int64_t kWarps = kThreads / 32;
    for (int64_t i = gpu::block_idx().x * kWarps + gpu::warp(); i < count; i += gpu::grid_dim().x * kWarps)
        fn(i);
}

template <class T> DEMI_HOST_DEVICE int64_t packs_of(int64_t count) {
    return (count + kPack<T> - 1) / kPack<T>;
}
// Elements of the pack that begins at `at`, of `count`.
template <class T> DEMI_DEVICE int pack_size(int64_t at, int64_t count) {
    return count - at < kPack<T> ? static_cast<int>(count - at) : kPack<T>;
}
// body(row, first element in it, count) for the packs of some rows.
template <class T, class Body> struct EachPack {
    Body body;
    int64_t width, packs;
    DEMI_DEVICE void operator()(int64_t p) const {
        const int64_t row = p / packs, at = (p - row * packs) * kPack<T>;
        body(row, at, pack_size<T>(at, width));
    }
};
// Body<T>{call, aligned} for each pack. lines: the call's memory starts at 16-byte lines.
template <template <class> class Body, class Call>
void launch_packs(DType type, const Call& call, bool lines, int64_t rows, int64_t width, Queue queue) {
    gpu::dispatch_float(type, [&](auto tag) {
        typedef gpu::tag_t<decltype(tag)> T;
        typedef EachPack<T, Body<T>> Packs;
        const int64_t packs = packs_of<T>(width);
        launch_each(Packs{{call, lines && width % kPack<T> == 0}, width, packs}, rows * packs, queue);
    });
}

// fn(tag of the widest unit of memory that divides what is or-ed together in `bits`: addresses and sizes).
template <class F> void with_unit(uintptr_t bits, F&& fn) {
    if (bits % 16 == 0) return fn(gpu::Tag<Bytes16>{});
    if (bits % 8 == 0) return fn(gpu::Tag<uint64_t>{});
    if (bits % 4 == 0) return fn(gpu::Tag<uint32_t>{});
    if (bits % 2 == 0) return fn(gpu::Tag<uint16_t>{});
    fn(gpu::Tag<uint8_t>{});
}
inline uintptr_t address(const void* p) { return reinterpret_cast<uintptr_t>(p); }

// True where every pointer starts a 16-byte line.
template <class... P> inline bool all_aligned(P... pointers) {
    return ((address(pointers) % 16 == 0) && ...);
}

}  // namespace demi::DEMI_BACKEND
