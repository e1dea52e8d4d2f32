#pragma once
// Device code: four elements at a time of whatever type the list says.
#include "ops/boundary/boundary_cuda.h"
#include "ops/optimizer/optimizer_kernels.h"

namespace demi::DEMI_BACKEND {

struct Quad {
    float v[4];
};

// whole: four elements are there and lie at a multiple of their size; zeros behind `count` elements.
DEMI_DEVICE Quad load_quad(DType type, const void* p, int64_t at, int count, bool whole) {
    Quad q{{0, 0, 0, 0}};
    if (whole && type == DType::f32) {
        const gpu::Bytes16 b = gpu::load16(static_cast<const float*>(p) + at);
        DEMI_UNROLL
        for (int i = 0; i < 4; ++i) q.v[i] = gpu::bit_cast<float>(b.w[i]);
    } else if (whole) {
        const uint64_t b = *reinterpret_cast<const uint64_t*>(static_cast<const uint16_t*>(p) + at);
        DEMI_UNROLL
        for (int i = 0; i < 4; ++i) {
            const uint16_t bits = static_cast<uint16_t>(b >> (16 * i));
            q.v[i] = type == DType::f16 ? gpu::half_to_float(bits) : gpu::bf16_to_float(bits);
        }
    } else {
        DEMI_UNROLL
        for (int i = 0; i < 4; ++i)
            if (i < count) q.v[i] = load_one(p, at + i, type);
    }
    return q;
}
DEMI_DEVICE void store_quad(DType type, void* p, int64_t at, const Quad& q, int count, bool whole) {
    if (whole && type == DType::f32) {
        gpu::Bytes16 b;
        DEMI_UNROLL
        for (int i = 0; i < 4; ++i) b.w[i] = gpu::bit_cast<uint32_t>(q.v[i]);
        gpu::store16(static_cast<float*>(p) + at, b);
    } else if (whole) {
        uint64_t b = 0;
        DEMI_UNROLL
        for (int i = 0; i < 4; ++i) {
            const uint64_t bits =
                type == DType::f16 ? gpu::float_to_half(q.v[i]) : gpu::float_to_bf16(q.v[i]);
            b |= bits << (16 * i);
        }
        *reinterpret_cast<uint64_t*>(static_cast<uint16_t*>(p) + at) = b;
    } else {
        DEMI_UNROLL
        for (int i = 0; i < 4; ++i)
            if (i < count) store_one(p, at + i, type, q.v[i]);
    }
}

constexpr int kListThreads = 256;

// The type of an array's elements.
template <class Array> struct ElementOf;
template <class C, int N> struct ElementOf<C (&)[N]> { typedef C type; };
template <class Array> using Element = typename ElementOf<Array>::type;

struct Entry : ListEntry {
    double scale;  // the factor's value, or 1
    DEMI_DEVICE double* doubles(int which) const { return static_cast<double*>(data[which]); }
};
template <class C, class Numbers> DEMI_DEVICE C scale_of(const Numbers& n, const Entry& e) {
    if constexpr (sizeof(C) == sizeof(double)) return n.grad_scale * e.scale;
    return static_cast<C>(static_cast<double>(static_cast<float>(n.grad_scale)) * e.scale);
}

// fn(entry, x) for this thread's elements of one chunk: x[k] is that of data[k], in double where the entry is f64, else in
// float, and 0 in a quad behind its `count` elements. What kWritten has a bit for is stored afterwards; kOptional: data[2] may
// be null. Nothing for an entry whose factor is not finite.
template <int kTensors, unsigned kWritten, bool kOptional = false, class F>
DEMI_DEVICE void for_chunk(const TensorList& list, int64_t number, F&& fn) {
    const ListChunk chunk = list.chunks[number];
    Entry e;
    static_cast<ListEntry&>(e) = list.entries[chunk.entry];
    e.scale = e.factor != nullptr ? *e.factor : 1;
    if (!gpu::is_finite(e.scale)) return;
    const int64_t begin = chunk.number * list.chunk_size;
    const int64_t end = begin + list.chunk_size < e.count ? begin + list.chunk_size : e.count;
    const auto has = [&](int k) { return !kOptional || k != 2 || e.data[2] != nullptr; };
    const auto writes = [&](int k) { return (kWritten >> k & 1u) != 0 && has(k); };
    for (int64_t at = begin + 4 * static_cast<int64_t>(gpu::thread_idx().x); at < end;
         at += 4 * kListThreads) {
        const int count = end - at < 4 ? static_cast<int>(end - at) : 4;
        if (e.dtype[0] == DType::f64) {
            for (int64_t i = at; i < at + count; ++i) {
                double x[kTensors];
                for (int k = 0; k < kTensors; ++k) x[k] = has(k) ? e.doubles(k)[i] : 0;
                fn(e, x);
                for (int k = 0; k < kTensors; ++k)
                    if (writes(k)) e.doubles(k)[i] = x[k];
            }
            continue;
        }
        const bool whole = e.aligned && end - at >= 4;
        const auto dtype = [&](int k) { return k < 2 ? e.dtype[k] : DType::f32; };
        Quad q[kTensors] = {};
        DEMI_UNROLL
        for (int k = 0; k < kTensors; ++k)
            if (has(k)) q[k] = load_quad(dtype(k), e.data[k], at, count, whole);
        DEMI_UNROLL
        for (int i = 0; i < 4; ++i) {
            float x[kTensors];
            DEMI_UNROLL
            for (int k = 0; k < kTensors; ++k) x[k] = q[k].v[i];
            fn(e, x);
            DEMI_UNROLL
            for (int k = 0; k < kTensors; ++k) q[k].v[i] = x[k];
        }
        DEMI_UNROLL
        for (int k = 0; k < kTensors; ++k)
            if (writes(k)) store_quad(dtype(k), e.data[k], at, q[k], count, whole);
    }
}
// The same for all of this block's chunks.
template <int kTensors, unsigned kWritten, bool kOptional = false, class F>
DEMI_DEVICE void for_elements(const TensorList& list, F&& fn) {
    for (int64_t c = gpu::block_idx().x; c < list.chunk_count; c += gpu::grid_dim().x)
        for_chunk<kTensors, kWritten, kOptional>(list, c, fn);
}

template <class Kernel> void launch_list(const Kernel& kernel, const TensorList& list, Queue queue) {
    gpu::launch(kernel, gpu::blocks_for(list.chunk_count, 1), {kListThreads}, 0, queue.stream);
}

}  // namespace demi::DEMI_BACKEND
