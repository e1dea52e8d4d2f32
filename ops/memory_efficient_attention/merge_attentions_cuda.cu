#include "ops/memory_efficient_attention/merge_attentions_cuda.h"

#include "ops/memory_efficient_attention/attention_problem.h"
#include "runtime/cuda/gpu.h"

namespace demi::gpu_kernels {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32;

template <class T> struct MergeRows {
    typedef gpu::compute_t<T> L;
    MergeJob job;

    DEMI_DEVICE int64_t rows() const { return job.batch * job.tokens * job.heads; }
    DEMI_DEVICE int64_t lse_index(int64_t row) const {
        const int64_t h = row % job.heads, t = row / job.heads % job.tokens, b = row / job.heads / job.tokens;
        return (b * job.heads + h) * job.tokens + t;
    }
    DEMI_DEVICE double lse_of(int64_t part, int64_t at) const {
        return static_cast<double>(static_cast<const L*>(job.parts[part].lse)[at]);
    }
    // What exp(lse_i - total) needs besides. Where the log-sum-exp has lost the digits,
    // the parts' own sum says it.
    struct Total {
        double top, sum;
    };
    DEMI_DEVICE Total total_of(int64_t at, double total, double odd) const {
        if (!(gpu::abs(total) >= odd) || !gpu::is_finite(total)) return {total, 1};
        Total t{minus_infinity(), 0};
        for (int64_t i = 0; i < job.count; ++i) t.top = lse_of(i, at) > t.top ? lse_of(i, at) : t.top;
        for (int64_t i = 0; i < job.count; ++i) t.sum += gpu::exp(lse_of(i, at) - t.top);
        return t;
    }
    static DEMI_DEVICE double minus_infinity() { return -static_cast<double>(gpu::infinity()); }
    static DEMI_DEVICE double value(const void* data, int64_t at) {
        return static_cast<double>(gpu::load(static_cast<const T*>(data) + at));
    }
};

template <class T> struct MergeKernel : MergeRows<T> {
    static constexpr int threads = kThreads;
    using typename MergeRows<T>::L;
    using MergeRows<T>::job;

    DEMI_DEVICE void operator()() const {
        for (int64_t row = gpu::block_idx().x * int64_t{kWarps} + gpu::warp(); row < this->rows();
             row += gpu::grid_dim().x * int64_t{kWarps}) {
            const int64_t at = this->lse_index(row);
            double top = this->minus_infinity(), sum = 0;
            for (int64_t i = 0; i < job.count; ++i) {
                const double x = this->lse_of(i, at);
                top = x > top ? x : top;
            }
            for (int64_t i = 0; i < job.count; ++i)
                if (top > this->minus_infinity()) sum += gpu::exp(this->lse_of(i, at) - top);
            const double total = sum == 0 ? this->minus_infinity() : top + gpu::log(sum);
            if (gpu::lane() == 0) static_cast<L*>(job.lse)[at] = static_cast<L>(total);
            const auto all = this->total_of(at, total, kAttentionOddLseF64);
            for (int64_t c = gpu::lane(); c < job.size; c += 32) {
                double y = 0;
                for (int64_t i = 0; i < job.count && sum != 0; ++i) {
                    const double w = gpu::exp(this->lse_of(i, at) - all.top) / all.sum;
                    if (w != 0) y += w * this->value(job.parts[i].out, row * job.size + c);
                }
                gpu::store(static_cast<T*>(job.out) + row * job.size + c, static_cast<L>(y));
            }
        }
    }
};

template <class T> struct MergeBackwardKernel : MergeRows<T> {
    static constexpr int threads = kThreads;
    using typename MergeRows<T>::L;
    using MergeRows<T>::job;

    DEMI_DEVICE void operator()() const {
        for (int64_t row = gpu::block_idx().x * int64_t{kWarps} + gpu::warp(); row < this->rows();
             row += gpu::grid_dim().x * int64_t{kWarps}) {
            const int64_t at = this->lse_index(row);
            const double total = static_cast<double>(static_cast<const L*>(job.lse)[at]);
            const auto all = this->total_of(
                at, total, sizeof(L) == 8 ? kAttentionOddLseF64 : static_cast<double>(kAttentionOddLse));
            for (int64_t i = 0; i < job.count; ++i) {
                const MergePart part = job.parts[i];
                const double one = this->lse_of(i, at);
                const bool none = total == this->minus_infinity() || one == this->minus_infinity();
                const double w = none ? 0 : gpu::exp(one - all.top) / all.sum;
                double sum = 0;
                for (int64_t c = gpu::lane(); c < job.size; c += 32) {
                    const int64_t e = row * job.size + c;
                    const double g = job.grad != nullptr ? this->value(job.grad, e) : 0;
                    if (w != 0) sum += g * (this->value(part.out, e) - this->value(job.out, e));
                    if (part.grad_out != nullptr)
                        gpu::store(static_cast<T*>(part.grad_out) + e, static_cast<L>(w == 0 ? 0 : w * g));
                }
                sum = gpu::warp_sum(sum);
                if (gpu::lane() != 0 || part.grad_lse == nullptr) continue;
                if (job.grad_lse != nullptr)
                    sum += static_cast<double>(static_cast<const L*>(job.grad_lse)[at]);
                static_cast<L*>(part.grad_lse)[at] = static_cast<L>(w == 0 ? 0 : w * sum);
            }
        }
    }
};

template <template <class> class Kernel> void launch_rows(const MergeJob& job, gpu::Stream stream) {
    gpu::dispatch_float(job.type, [&](auto tag) {
        using T = gpu::tag_t<decltype(tag)>;
        Kernel<T> kernel;
        kernel.job = job;
        gpu::launch(kernel, gpu::blocks_for(job.batch * job.tokens * job.heads, kWarps), {kThreads}, 0,
                    stream);
    });
}

}  // namespace

void launch_merge(const MergeJob& job, gpu::Stream stream) { launch_rows<MergeKernel>(job, stream); }
void launch_merge_backward(const MergeJob& job, gpu::Stream stream) {
    launch_rows<MergeBackwardKernel>(job, stream);
}

}  // namespace demi::gpu_kernels
