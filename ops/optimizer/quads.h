#pragma once
// Device code: four elements at a time of whatever type the list says.
#include "ops/optimizer/optimizer_kernels.h"
#include "runtime/cuda/gpu.h"

namespace demi::DEMI_BACKEND {

struct Quad {
    float v[4];
};

DEMI_DEVICE float load_any(DType type, const void* p, int64_t at) {
    if (type == DType::f32) return static_cast<const float*>(p)[at];
    const uint16_t bits = static_cast<const uint16_t*>(p)[at];
    return type == DType::f16 ? gpu::half_to_float(bits) : gpu::bf16_to_float(bits);
}
DEMI_DEVICE void store_any(DType type, void* p, int64_t at, float v) {
    if (type == DType::f32)
        static_cast<float*>(p)[at] = v;
    else
        static_cast<uint16_t*>(p)[at] = type == DType::f16 ? gpu::float_to_half(v) : gpu::float_to_bf16(v);
}

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
            if (i < count) q.v[i] = load_any(type, p, at + i);
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
            if (i < count) store_any(type, p, at + i, q.v[i]);
    }
}

constexpr int kListThreads = 256;

struct Entry : ListEntry {
    double scale;  // the factor's value, or 1
    DEMI_DEVICE double* doubles(int which) const { return static_cast<double*>(data[which]); }
};
template <class Numbers> DEMI_DEVICE float scale_of(const Numbers& n, const Entry& e) {
    return static_cast<float>(static_cast<double>(static_cast<float>(n.grad_scale)) * e.scale);
}

// fn(entry, first element, count, whole) for this thread's quads of one chunk, or of all of this block's
// chunks; nothing for an entry whose factor is not finite.
template <class F> DEMI_DEVICE void for_chunk_quads(const TensorList& list, int64_t number, F&& fn) {
    const ListChunk chunk = list.chunks[number];
    Entry entry;
    static_cast<ListEntry&>(entry) = list.entries[chunk.entry];
    entry.scale = entry.factor != nullptr ? *entry.factor : 1;
    if (!gpu::is_finite(entry.scale)) return;
    const int64_t begin = chunk.number * list.chunk_size;
    const int64_t end = begin + list.chunk_size < entry.count ? begin + list.chunk_size : entry.count;
    for (int64_t at = begin + 4 * static_cast<int64_t>(gpu::thread_idx().x); at < end; at += 4 * kListThreads)
        fn(entry, at, end - at < 4 ? static_cast<int>(end - at) : 4, entry.aligned && end - at >= 4);
}
template <class F> DEMI_DEVICE void for_quads(const TensorList& list, F&& fn) {
    for (int64_t c = gpu::block_idx().x; c < list.chunk_count; c += gpu::grid_dim().x)
        for_chunk_quads(list, c, fn);
}

template <class Kernel> void launch_list(const Kernel& kernel, const TensorList& list, Queue queue) {
    gpu::launch(kernel, gpu::blocks_for(list.chunk_count, 1), {kListThreads}, 0, queue.stream);
}

}  // namespace demi::DEMI_BACKEND
