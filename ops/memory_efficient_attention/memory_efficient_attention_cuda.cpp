#include "ops/memory_efficient_attention/memory_efficient_attention_kernels.h"

#include <algorithm>
#include <cmath>

#include "ops/common/cast_sums.h"
#include "ops/common/device_table.h"
#include "ops/memory_efficient_attention/attention_cuda.h"
#include "runtime/cuda/stream.h"

namespace demi {
namespace {

using gpu_kernels::AttentionJob;
using gpu_kernels::AttentionMatrixJob;
using gpu_kernels::AttentionTiles;

Storage storage(const Tensor& x) {
    if (x.dtype() == DType::f16) return Storage::f16;
    return x.dtype() == DType::bf16 ? Storage::bf16 : Storage::f32;
}
AttentionOperand operand(const Tensor& x, const Cast& cast = {}) {
    return {x.raw(), x.strides()[0], x.strides()[1], x.strides()[2], storage(x), cast};
}
AttentionResult result(Tensor x, const Cast& cast) {
    if (!x.defined()) return {};
    return {x.mutable_raw(), x.strides()[0], x.strides()[1], x.strides()[2], storage(x), cast};
}

// Eight elements of a row at a time, from addresses that are multiples of 16 bytes.
bool is_wide(const Tensor& x) {
    const auto size = static_cast<int64_t>(size_of(x.dtype()));
    if (x.size(3) % 8 != 0 || reinterpret_cast<uintptr_t>(x.raw()) % 16 != 0) return false;
    for (int d = 0; d < 3; ++d)
        if (x.size(d) > 1 && x.strides()[d] * size % 16 != 0) return false;
    return true;
}

bool is_f16_valued(const AttentionOperand& x) {
    return x.cast.round ? x.cast.undo == 1
                        : x.storage == Storage::f16 && x.cast.scale == 1 && x.cast.undo == 1;
}
bool is_bf16(const AttentionOperand& x) {
    return x.storage == Storage::bf16 && !x.cast.round && x.cast.scale == 1 && x.cast.undo == 1;
}

// One call: what the kernels are given, and the memory behind it.
class Call {
  public:
    explicit Call(const AttentionArguments& a) : args_(a), device_(a.q.device()) {
        AttentionProblem& p = job.p;
        p.batch = a.q.size(0);
        p.queries = a.q.size(1);
        p.heads = a.q.size(2);
        p.head_size = a.q.size(3);
        p.keys = a.k.size(1);
        p.value_size = a.v.size(3);
        p.segment_count = static_cast<int64_t>(a.segments.size());
        p.q = operand(a.q, a.cast_q);
        p.k = operand(a.k, a.cast_k);
        p.v = operand(a.v, a.cast_v);
        if (a.bias.defined()) {
            const Shape& s = a.bias.strides();
            const bool one_batch = a.bias.size(0) == 1, one_head = a.bias.size(1) == 1;
            p.bias = {a.bias.raw(),    one_batch ? 0 : s[0], one_head ? 0 : s[1], s[2],
                      storage(a.bias), a.cast_bias,          one_batch,           one_head};
        }
        if (a.dropout > 0)
            p.dropout = {nullptr, a.draw.seed, a.draw.offset, a.dropout,
                         p.heads, p.queries,   p.keys,        a.draw.live};
        p.scale = static_cast<float>(a.scale);
        job.scale = a.scale;
        job.f64 = a.q.dtype() == DType::f64;
        if (p.segment_count > 0) job.only = a.segments[0];
    }

    bool is_empty() const { return job.p.segment_count == 0 || job.p.batch * job.p.heads == 0; }
    gpu::Stream stream() const { return gpu::current_stream(device_); }

    // Whether the tensor cores can do it; `more` comes on top of q, k and v.
    bool fits_matrix(const AttentionOperand* more = nullptr) const {
        const AttentionProblem& p = job.p;
        if (job.f64 || std::max(p.head_size, p.value_size) > 256 || std::max(p.queries, p.keys) >> 31 != 0)
            return false;
        const auto all = [&](auto&& fn) {
            return fn(p.q) && fn(p.k) && fn(p.v) && (more == nullptr || fn(*more));
        };
        return all(is_f16_valued) || all(is_bf16);
    }

    // Whether, of what the tensor cores can do, the kernels for whole segments can do it.
    bool is_full() const {
        const AttentionProblem& p = job.p;
        const auto sees_all = [](const AttentionSegment& s) {
            return s.q_end - 1 - s.q_begin + s.low <= 0 && s.high >= s.k_end - s.k_begin;
        };
        return (p.head_size == 64 || p.head_size == 128) && p.value_size == p.head_size &&
               p.bias.data == nullptr && p.dropout.probability == 0 && p.scale > 0 && std::isfinite(p.scale) &&
               is_wide(args_.q) && is_wide(args_.k) && is_wide(args_.v) &&
               std::all_of(args_.segments.begin(), args_.segments.end(), sees_all);
    }

    // The segments on the device, for the plain kernels.
    void upload_segments() {
        if (job.p.segment_count > 1) upload({});
    }

    AttentionMatrixJob matrix(size_t (*shared)(int64_t, int), size_t (*shared_keys)(int64_t, int)) {
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

    AttentionJob job{};

  private:
    // Tiles of whole warps: as many rows as waste least, and a tile costs something by itself. No result
    // depends on it.
    template <class F>
    AttentionTiles cut(size_t (*shared)(int64_t, int), F&& length, std::vector<int64_t>& first) const {
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

    // The segments and some numbers to the device; gives where the numbers are.
    const int64_t* upload(const std::vector<int64_t>& numbers) {
        const size_t bytes = args_.segments.size() * sizeof(AttentionSegment);
        std::vector<char> all(bytes + numbers.size() * sizeof(int64_t));
        std::copy_n(reinterpret_cast<const char*>(args_.segments.data()), bytes, all.data());
        std::copy_n(reinterpret_cast<const char*>(numbers.data()), all.size() - bytes, all.data() + bytes);
        memory_ = device_table(device_, all.data(), all.size());
        const char* there = static_cast<const char*>(memory_.raw());
        job.p.segments = reinterpret_cast<const AttentionSegment*>(there);
        return reinterpret_cast<const int64_t*>(there + bytes);
    }

    const AttentionArguments& args_;
    Device device_;
    Tensor memory_;
};

void count_operand(const Call& call, const AttentionOperand& x, int64_t tokens, int64_t size,
                   gpu_kernels::CastSums* sums) {
    const AttentionProblem& p = call.job.p;
    if (counts(x.cast))
        gpu_kernels::launch_count_operand(x, p.batch, tokens, p.heads, size, sums, call.stream());
}

void count_bias(const Call& call, gpu_kernels::CastSums* sums) {
    const AttentionProblem& p = call.job.p;
    if (p.bias.data == nullptr || !counts(p.bias.cast)) return;
    const AttentionOperand x{p.bias.data, p.bias.batch,   p.bias.query,
                             p.bias.head, p.bias.storage, p.bias.cast};
    gpu_kernels::launch_count_operand(x, p.bias.sum_batch ? 1 : p.batch, p.queries,
                                      p.bias.sum_head ? 1 : p.heads, p.keys, sums, call.stream());
}

void forward(const AttentionArguments& args, Tensor out, Tensor lse, AttentionForwardCounters* counters) {
    Call call(args);
    if (call.is_empty()) return;
    AttentionJob& job = call.job;
    job.p.lse = static_cast<float*>(lse.mutable_raw());
    job.f.out = result(out, args.cast_out);
    const bool counting = counters != nullptr && !job.f64 &&
                          (counts(args.cast_q) || counts(args.cast_k) || counts(args.cast_v) ||
                           counts(args.cast_bias) || counts(args.cast_out));
    DeviceCounters sums(5, counting, out.device());
    if (counting) {
        job.sums.q = sums[0];
        job.sums.k = sums[1];
        job.sums.v = sums[2];
        job.sums.out = counts(args.cast_out) ? sums[4] : nullptr;
        count_bias(call, sums[3]);
    }
    if (call.fits_matrix()) {
        const bool full = call.is_full();
        const auto shared = full ? gpu_kernels::full_forward_shared : gpu_kernels::matrix_forward_shared;
        AttentionMatrixJob m = call.matrix(shared, shared);
        m.wide_out = is_wide(out);
        (full ? gpu_kernels::launch_full_forward : gpu_kernels::launch_matrix_forward)(m, call.stream());
    } else {
        call.upload_segments();
        if (counting) {
            count_operand(call, job.p.q, job.p.queries, job.p.head_size, sums[0]);
            count_operand(call, job.p.k, job.p.keys, job.p.head_size, sums[1]);
            count_operand(call, job.p.v, job.p.keys, job.p.value_size, sums[2]);
        }
        gpu_kernels::launch_plain_forward(job, call.stream());
    }
    if (!counting) return;
    sums.add_to(0, counters->q);
    sums.add_to(1, counters->k);
    sums.add_to(2, counters->v);
    sums.add_to(3, counters->bias);
    sums.add_to(4, counters->out);
}

void backward(const AttentionArguments& args, const AttentionIncoming& in, const AttentionGradients& grads,
              AttentionBackwardCounters* counters) {
    Call call(args);
    if (call.is_empty()) return;
    AttentionJob& job = call.job;
    job.p.lse = static_cast<float*>(const_cast<void*>(in.lse.raw()));
    AttentionBackward& b = job.b;
    b.out = operand(in.out);
    b.grad_out = operand(in.grad_out, in.cast_grad_out);
    b.grad_lse = in.grad_lse.defined() ? static_cast<const float*>(in.grad_lse.raw()) : nullptr;
    b.grad_lse_scale = in.grad_lse_scale;
    b.grad_q = result(grads.q, grads.cast_q);
    b.grad_k = result(grads.k, grads.cast_k);
    b.grad_v = result(grads.v, grads.cast_v);
    Tensor bias = grads.bias;
    if (bias.defined()) {
        b.grad_bias.data = bias.mutable_raw();
        b.grad_bias.storage = storage(bias);
        b.grad_bias.cast = grads.cast_bias;
    }
    const bool rows = grads.q.defined() || grads.k.defined() || grads.v.defined();
    const Cast* casts[] = {&in.cast_grad_out, &grads.cast_q, &grads.cast_k, &grads.cast_v, &grads.cast_bias};
    const bool counting =
        counters != nullptr && !job.f64 &&
        std::any_of(std::begin(casts), std::end(casts), [](const Cast* c) { return counts(*c); });
    DeviceCounters sums(5, counting, args.q.device());
    const auto sums_of = [&](int i, const Cast& cast) { return counts(cast) ? sums[i] : nullptr; };
    if (counting) {
        job.sums.grad_out = rows ? sums_of(0, in.cast_grad_out) : nullptr;
        job.sums.grad_q = sums_of(1, grads.cast_q);
        job.sums.grad_k = sums_of(2, grads.cast_k);
        job.sums.grad_v = sums_of(3, grads.cast_v);
        job.sums.grad_bias = sums_of(4, grads.cast_bias);
    }
    Tensor dot = Tensor::empty({job.p.batch, job.p.heads, job.p.queries}, job.f64 ? DType::f64 : DType::f32,
                               args.q.device());
    job.dot = static_cast<float*>(dot.mutable_raw());
    const gpu::Stream stream = call.stream();
    if (rows && call.fits_matrix(&b.grad_out)) {
        const bool full = call.is_full() && is_wide(in.grad_out) && is_wide(in.out);
        AttentionMatrixJob m =
            full ? call.matrix(gpu_kernels::full_backward_q_shared, gpu_kernels::full_backward_kv_shared)
                 : call.matrix(gpu_kernels::matrix_backward_q_shared, gpu_kernels::matrix_backward_kv_shared);
        m.wide_grad_out = is_wide(in.grad_out);
        m.wide_grad_q = grads.q.defined() && is_wide(grads.q);
        m.wide_grad_k = grads.k.defined() && is_wide(grads.k);
        m.wide_grad_v = grads.v.defined() && is_wide(grads.v);
        (full ? gpu_kernels::launch_full_backward_q : gpu_kernels::launch_matrix_backward_q)(m, stream);
        if (b.grad_k.data != nullptr || b.grad_v.data != nullptr)
            (full ? gpu_kernels::launch_full_backward_kv : gpu_kernels::launch_matrix_backward_kv)(m, stream);
    } else {
        call.upload_segments();
        if (job.sums.grad_out != nullptr)
            count_operand(call, b.grad_out, job.p.queries, job.p.value_size, job.sums.grad_out);
        gpu_kernels::launch_plain_dot(job, stream);
        gpu_kernels::launch_plain_backward(job, stream);
    }
    if (b.grad_bias.data != nullptr) gpu_kernels::launch_plain_bias(job, stream);
    if (!counting) return;
    sums.add_to(0, counters->grad_out);
    sums.add_to(1, counters->grad_q);
    sums.add_to(2, counters->grad_k);
    sums.add_to(3, counters->grad_v);
    sums.add_to(4, counters->grad_bias);
}

}  // namespace

const MemoryEfficientAttentionKernels memory_efficient_attention_cuda = {forward, backward};

}  // namespace demi
