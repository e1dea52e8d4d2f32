#include "ops/memory_efficient_attention/attention_call_cuda.h"

#include <algorithm>
#include <cmath>

#include "runtime/cuda/stream.h"
#include "runtime/device_table.h"

namespace demi {

using gpu_kernels::AttentionMatrixJob;
using gpu_kernels::AttentionTiles;

namespace {

bool is_f16_valued(const AttentionOperand& x) {
    return x.cast.round ? x.cast.undo == 1 : x.dtype == DType::f16 && x.cast.scale == 1 && x.cast.undo == 1;
}
bool is_bf16(const AttentionOperand& x) {
    return x.dtype == DType::bf16 && !x.cast.round && x.cast.scale == 1 && x.cast.undo == 1;
}

}  // namespace

bool is_wide(const Tensor& x) {
    const auto size = static_cast<int64_t>(size_of(x.dtype()));
    if (x.size(3) % 8 != 0 || reinterpret_cast<uintptr_t>(x.raw()) % 16 != 0) return false;
    for (int d = 0; d < 3; ++d)
        if (x.size(d) > 1 && x.strides()[d] * size % 16 != 0) return false;
    return true;
}

AttentionCall::AttentionCall(const AttentionArguments& a) : args_(a), device_(a.q.device()) {
    job.p = attention_problem(a);
    job.p.segments = nullptr;  // until they are uploaded
    job.scale = a.scale;
    job.f64 = a.q.dtype() == DType::f64;
    if (!a.segments.empty()) job.only = a.segments[0];
}

gpu::Stream AttentionCall::stream() const { return gpu::current_stream(device_); }

bool AttentionCall::fits_matrix(const AttentionOperand* more) const {
    const AttentionProblem& p = job.p;
    if (job.f64 || std::max(p.head_size, p.value_size) > 256 || std::max(p.queries, p.keys) >> 31 != 0)
        return false;
    const auto all = [&](auto&& fn) {
        return fn(p.q) && fn(p.k) && fn(p.v) && (more == nullptr || fn(*more));
    };
    return all(is_f16_valued) || all(is_bf16);
}

bool AttentionCall::is_full() const {
    const AttentionProblem& p = job.p;
    const auto sees_all = [](const AttentionSegment& s) {
        return s.q_end - 1 - s.q_begin + s.low <= 0 && s.high >= s.k_end - s.k_begin;
    };
    return (p.head_size == 64 || p.head_size == 128) && p.value_size == p.head_size &&
           p.bias.data == nullptr && p.dropout.probability == 0 && p.scale > 0 && std::isfinite(p.scale) &&
           is_wide(args_.q) && is_wide(args_.k) && is_wide(args_.v) &&
           std::all_of(args_.segments.begin(), args_.segments.end(), sees_all);
}

void AttentionCall::upload_segments() {
    if (job.p.segment_count > 1) upload({});
}

// Tiles of whole warps: as many rows as waste least, and a tile costs something by
// itself. No result depends on it.
template <class F>
AttentionTiles AttentionCall::cut(size_t (*shared)(int64_t, int), F&& length,
                                  std::vector<int64_t>& first) const {
    const int64_t size = std::max(job.p.head_size, job.p.value_size);
    const size_t limit = size <= 128 ? 64 << 10 : 99 << 10;
    int64_t best = 0, best_cost = 0;
    for (int rows = 16; rows <= 128 && (best == 0 || shared(size, rows) <= limit); rows += 16) {
        int64_t cost = 0;
        for (const AttentionSegment& s : args_.segments)
            cost += std::max<int64_t>(1, (length(s) + rows - 1) / rows) * (rows + 16);
        if (best == 0 || cost <= best_cost) {
            best = rows;
            best_cost = cost;
        }
    }
    AttentionTiles tiles;
    tiles.rows = static_cast<int32_t>(best);
    for (const AttentionSegment& s : args_.segments) {
        first.push_back(tiles.count);
        tiles.count += std::max<int64_t>(1, (length(s) + best - 1) / best);
    }
    first.push_back(tiles.count);
    return tiles;
}

AttentionMatrixJob AttentionCall::matrix(size_t (*shared)(int64_t, int),
                                         size_t (*shared_keys)(int64_t, int)) {
    AttentionMatrixJob m{};
    std::vector<int64_t> tiles;
    const size_t segments = args_.segments.size();
    m.queries = cut(
        shared, [](const AttentionSegment& s) { return s.q_end - s.q_begin; }, tiles);
    m.keys = cut(
        shared_keys, [](const AttentionSegment& s) { return s.k_end - s.k_begin; }, tiles);
    if (segments > 1) {
        const int64_t* first = upload(tiles);
        m.queries.first_tile = first;
        m.keys.first_tile = first + segments + 1;
    }
    m.job = job;
    m.bf16 = is_bf16(job.p.q);
    m.wide_q = is_wide(args_.q);
    m.wide_k = is_wide(args_.k);
    m.wide_v = is_wide(args_.v);
    return m;
}

const int64_t* AttentionCall::upload(const std::vector<int64_t>& numbers) {
    const size_t bytes = args_.segments.size() * sizeof(AttentionSegment);
    std::vector<char> all(bytes + numbers.size() * sizeof(int64_t));
    std::copy_n(reinterpret_cast<const char*>(args_.segments.data()), bytes, all.data());
    std::copy_n(reinterpret_cast<const char*>(numbers.data()), all.size() - bytes, all.data() + bytes);
    memory_ = device_table(device_, all.data(), all.size());
    const char* there = static_cast<const char*>(memory_.raw());
    job.p.segments = reinterpret_cast<const AttentionSegment*>(there);
    return reinterpret_cast<const int64_t*>(there + bytes);
}

}  // namespace demi
