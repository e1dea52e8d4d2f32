// Chooses the kernels of a call, and puts their tables into the device's memory.
#include "ops/memory_efficient_attention/cuda/attention_cuda.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "runtime/cuda/gpu.h"
#include "runtime/device_bytes.h"

namespace demi::DEMI_BACKEND {
namespace {

typedef size_t (*SharedBytes)(int64_t size, int rows);

bool is_f16_valued(const AttentionOperand& x) {
    return x.cast.round ? x.cast.undo == 1 : x.dtype == DType::f16 && x.cast.scale == 1 && x.cast.undo == 1;
}
bool is_bf16(const AttentionOperand& x) {
    return x.dtype == DType::bf16 && !x.cast.round && x.cast.scale == 1 && x.cast.undo == 1;
}

// Whether eight elements of a row can be had at a time, from addresses that are multiples of 16 bytes.
template <class Data>
bool in_eights(const AttentionRows<Data>& x, const AttentionCall& c, int64_t tokens, int64_t size) {
    const auto aligned = [&](int64_t count, int64_t step) {
        return count <= 1 || step * static_cast<int64_t>(size_of(x.dtype)) % 16 == 0;
    };
    return x.data != nullptr && size % 8 == 0 && reinterpret_cast<uintptr_t>(x.data) % 16 == 0 &&
           aligned(c.batch, x.batch) && aligned(tokens, x.token) && aligned(c.heads, x.head);
}
bool q_in_eights(const AttentionCall& c) { return in_eights(c.q, c, c.queries, c.head_size); }
bool k_in_eights(const AttentionCall& c) { return in_eights(c.k, c, c.keys, c.head_size); }
bool v_in_eights(const AttentionCall& c) { return in_eights(c.v, c, c.keys, c.value_size); }

bool is_empty(const AttentionCall& c) { return c.segment_count == 0 || c.batch * c.heads == 0; }

// Whether the tensor cores can do it; `more` comes on top of q, k and v.
bool fits_mma(const AttentionCall& c, const AttentionOperand* more) {
    if (c.q.dtype == DType::f64 || std::max(c.head_size, c.value_size) > 256 ||
        std::max(c.queries, c.keys) >> 31 != 0)
        return false;
    const auto all = [&](bool (*fn)(const AttentionOperand&)) {
        return fn(c.q) && fn(c.k) && fn(c.v) && (more == nullptr || fn(*more));
    };
    return all(is_f16_valued) || all(is_bf16);
}

// Whether, of what the tensor cores can do, the kernels for whole segments can do it.
bool is_unmasked(const AttentionCall& c) {
    const auto sees_all = [](const AttentionSegment& s) {
        return queries_in(s) - 1 + s.low <= 0 && s.high >= keys_in(s);
    };
    return (c.head_size == 64 || c.head_size == 128) && c.value_size == c.head_size &&
           c.bias.data == nullptr && c.dropout.probability == 0 && c.scale > 0 && std::isfinite(c.scale) &&
           q_in_eights(c) && k_in_eights(c) && v_in_eights(c) &&
           std::all_of(c.segments, c.segments + c.segment_count, sees_all);
}

// Tiles of whole warps: as many rows as waste least, and a tile costs something by itself. No result depends
// on it.
AttentionTiles cut(const AttentionCall& c, SharedBytes shared, int64_t (*length)(const AttentionSegment&),
                   std::vector<int64_t>& first) {
    const int64_t size = std::max(c.head_size, c.value_size);
    const size_t limit = size <= 128 ? 64 << 10 : 99 << 10;
    const auto tiles_of = [&](int64_t s, int64_t rows) {
        return std::max<int64_t>(1, (length(c.segments[s]) + rows - 1) / rows);
    };
    int64_t best = 0, best_cost = 0;
    for (int rows = 16; rows <= 128 && (best == 0 || shared(size, rows) <= limit); rows += 16) {
        int64_t cost = 0;
        for (int64_t s = 0; s < c.segment_count; ++s) cost += tiles_of(s, rows) * (rows + 16);
        if (best == 0 || cost <= best_cost) {
            best = rows;
            best_cost = cost;
        }
    }
    AttentionTiles tiles;
    tiles.rows = static_cast<int32_t>(best);
    for (int64_t s = 0; s < c.segment_count; ++s) {
        first.push_back(tiles.count);
        tiles.count += tiles_of(s, best);
    }
    first.push_back(tiles.count);
    return tiles;
}

// Puts the segments of a call, and some numbers behind them, on the device, and gives where the numbers are;
// of a single segment, nothing.
const int64_t* send(AttentionCall& c, const std::vector<int64_t>& numbers, DeviceBytes& memory, Queue queue) {
    if (c.segment_count == 1) {
        c.segments = nullptr;
        return nullptr;
    }
    const size_t bytes = static_cast<size_t>(c.segment_count) * sizeof(AttentionSegment);
    std::vector<char> all(bytes + numbers.size() * sizeof(int64_t));
    std::copy_n(reinterpret_cast<const char*>(c.segments), bytes, all.data());
    std::copy_n(reinterpret_cast<const char*>(numbers.data()), all.size() - bytes, all.data() + bytes);
    const char* there = static_cast<const char*>(memory.send(all.data(), all.size(), queue));
    c.segments = reinterpret_cast<const AttentionSegment*>(there);
    return reinterpret_cast<const int64_t*>(there + bytes);
}

template <class Call>
AttentionMma<Call> mma_of(const Call& c, SharedBytes shared, SharedBytes shared_keys, DeviceBytes& memory,
                          Queue queue) {
    AttentionMma<Call> m{};
    m.call = c;
    std::vector<int64_t> tiles;
    m.queries = cut(c, shared, queries_in, tiles);
    m.keys = cut(c, shared_keys, keys_in, tiles);
    m.queries.first_tile = send(m.call, tiles, memory, queue);
    if (m.queries.first_tile != nullptr) m.keys.first_tile = m.queries.first_tile + c.segment_count + 1;
    m.bf16 = is_bf16(c.q);
    m.eights.q = q_in_eights(c);
    m.eights.k = k_in_eights(c);
    m.eights.v = v_in_eights(c);
    return m;
}

void forward(const AttentionForward& c, Queue queue) {
    if (is_empty(c)) return;
    DeviceBytes memory;
    if (c.bias.data != nullptr) count_bias(c, queue);
    if (!fits_mma(c, nullptr)) {
        AttentionForward there = c;
        send(there, {}, memory, queue);
        return forward_by_rows(there, queue);
    }
    const bool unmasked = is_unmasked(c);
    const MmaKernel<AttentionForward>& kernel = unmasked ? unmasked_forward : mma_forward;
    MmaForward m = mma_of(c, kernel.shared, kernel.shared, memory, queue);
    m.eights.out = in_eights(c.out, c, c.queries, c.value_size);
    kernel.launch(m, queue);
}

void backward(const AttentionBackward& c, Queue queue) {
    if (is_empty(c)) return;
    DeviceBytes memory;
    const int64_t rows = c.batch * c.heads * c.queries;
    const Scratch scratch(static_cast<size_t>(rows) * (sizeof(ExactSums) + sizeof(double)), queue);
    ExactSums* exact = scratch.as<ExactSums>();
    const QuerySums<float> sums{reinterpret_cast<float*>(exact + rows), exact};
    if (wants_rows(c) && fits_mma(c, &c.grad_out)) {
        const bool grad_in_eights = in_eights(c.grad_out, c, c.queries, c.value_size);
        const bool unmasked =
            is_unmasked(c) && grad_in_eights && in_eights(c.out, c, c.queries, c.value_size);
        const MmaKernel<AttentionBackward>& for_q = unmasked ? unmasked_backward_q : mma_backward_q;
        const MmaKernel<AttentionBackward>& for_kv = unmasked ? unmasked_backward_kv : mma_backward_kv;
        MmaBackward m = mma_of(c, for_q.shared, for_kv.shared, memory, queue);
        m.sums = sums;
        m.eights.grad_out = grad_in_eights;
        m.eights.grad_q = in_eights(c.grad_q, c, c.queries, c.head_size);
        m.eights.grad_k = in_eights(c.grad_k, c, c.keys, c.head_size);
        m.eights.grad_v = in_eights(c.grad_v, c, c.keys, c.value_size);
        for_q.launch(m, queue);
        if (c.grad_k.data != nullptr || c.grad_v.data != nullptr) for_kv.launch(m, queue);
        if (c.grad_bias.data != nullptr) bias_backward(m.call, sums, queue);
        return;
    }
    AttentionBackward there = c;
    send(there, {}, memory, queue);
    const auto by_rows = [&](auto rows_sums) {
        backward_by_rows(there, rows_sums, queue);
        if (c.grad_bias.data != nullptr) bias_backward(there, rows_sums, queue);
    };
    if (c.q.dtype == DType::f64)
        return by_rows(QuerySums<double>{reinterpret_cast<double*>(exact + rows), exact});
    by_rows(sums);
}

}  // namespace

const AttentionKernels memory_efficient_attention_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
