#include "ops/kernel_cuda.h"
#include "ops/memory_efficient_attention/attention_kernels.h"
#include "ops/merge_attentions/merge_attentions_kernels.h"

namespace demi::DEMI_BACKEND {
namespace {

// One warp for a row.
constexpr int kThreads = 128, kWarps = kThreads / 32;

template <class T> struct MergeRows {
    typedef gpu::compute_t<T> L;

    static DEMI_DEVICE double minus_infinity() { return -static_cast<double>(gpu::infinity()); }
    static DEMI_DEVICE double value(const void* data, int64_t at) {
        return static_cast<double>(gpu::load(static_cast<const T*>(data) + at));
    }
    static DEMI_DEVICE double lse_of(const MergeParts& in, int64_t part, int64_t at) {
        return static_cast<double>(static_cast<const L*>(in.parts[part].lse)[at]);
    }
    // w_i = exp(lse_i - top) / sum. Where |total| is `odd` or more, it has lost the digits that this needs:
    // the sum of the parts has them.
    struct Total {
        double top, sum;
    };
    static DEMI_DEVICE Total total_of(const MergeParts& in, int64_t at, double total, double odd) {
        if (!(gpu::abs(total) >= odd) || !gpu::is_finite(total)) return {total, 1};
        Total t{minus_infinity(), 0};
        for (int64_t i = 0; i < in.count; ++i) t.top = lse_of(in, i, at) > t.top ? lse_of(in, i, at) : t.top;
        for (int64_t i = 0; i < in.count; ++i) t.sum += gpu::exp(lse_of(in, i, at) - t.top);
        return t;
    }
};

template <class T> struct MergeKernel {
    static constexpr int threads = kThreads;
    typedef MergeRows<T> Rows;
    typedef typename Rows::L L;
    MergeAttentionsForward c;

    DEMI_DEVICE void operator()() const {
        for_warps<kThreads>(c.in.rows(), [&](int64_t row) {
            const int64_t at = c.in.lse_index(row);
            double top = Rows::minus_infinity(), sum = 0;
            for (int64_t i = 0; i < c.in.count; ++i) {
                const double x = Rows::lse_of(c.in, i, at);
                top = x > top ? x : top;
            }
            for (int64_t i = 0; i < c.in.count; ++i)
                if (top > Rows::minus_infinity()) sum += gpu::exp(Rows::lse_of(c.in, i, at) - top);
            const double total = sum == 0 ? Rows::minus_infinity() : top + gpu::log(sum);
            if (gpu::lane() == 0) static_cast<L*>(c.lse.data)[at] = static_cast<L>(total);
            const auto all = Rows::total_of(c.in, at, total, kAttentionOddLseF64);
            for (int64_t k = gpu::lane(); k < c.in.size; k += 32) {
                double y = 0;
                for (int64_t i = 0; i < c.in.count && sum != 0; ++i) {
                    const double w = gpu::exp(Rows::lse_of(c.in, i, at) - all.top) / all.sum;
                    if (w != 0) y += w * Rows::value(c.in.parts[i].out, row * c.in.size + k);
                }
                gpu::store(static_cast<T*>(c.out.data) + row * c.in.size + k, static_cast<L>(y));
            }
        });
    }
};

template <class T> struct MergeBackwardKernel {
    static constexpr int threads = kThreads;
    typedef MergeRows<T> Rows;
    typedef typename Rows::L L;
    MergeAttentionsBackward c;

    DEMI_DEVICE void operator()() const {
        for_warps<kThreads>(c.in.rows(), [&](int64_t row) {
            const int64_t at = c.in.lse_index(row);
            const double total = static_cast<double>(static_cast<const L*>(c.lse.data)[at]);
            const auto all =
                Rows::total_of(c.in, at, total,
                               sizeof(L) == 8 ? kAttentionOddLseF64 : static_cast<double>(kAttentionOddLse));
            for (int64_t i = 0; i < c.in.count; ++i) {
                const MergePart part = c.in.parts[i];
                const double one = Rows::lse_of(c.in, i, at);
                const bool none = total == Rows::minus_infinity() || one == Rows::minus_infinity();
                const double w = none ? 0 : gpu::exp(one - all.top) / all.sum;
                double sum = 0;
                for (int64_t k = gpu::lane(); k < c.in.size; k += 32) {
                    const int64_t e = row * c.in.size + k;
                    const double g = c.grad.data != nullptr ? Rows::value(c.grad.data, e) : 0;
                    if (w != 0) sum += g * (Rows::value(part.out, e) - Rows::value(c.out.data, e));
                    if (part.grad_out != nullptr)
                        gpu::store(static_cast<T*>(part.grad_out) + e, static_cast<L>(w == 0 ? 0 : w * g));
                }
                sum = gpu::warp_sum(sum);
                if (gpu::lane() != 0 || part.grad_lse == nullptr) continue;
                if (c.grad_lse.data != nullptr)
                    sum += static_cast<double>(static_cast<const L*>(c.grad_lse.data)[at]);
                static_cast<L*>(part.grad_lse)[at] = static_cast<L>(w == 0 ? 0 : w * sum);
            }
        });
    }
};

template <template <class> class Kernel, class Call> void launch_rows(const Call& call, Queue queue) {
    gpu::dispatch_float(call.out.dtype, [&](auto tag) {
        using T = gpu::tag_t<decltype(tag)>;
        gpu::launch(Kernel<T>{call}, gpu::blocks_for(call.in.rows(), kWarps), {kThreads}, 0, queue.stream);
    });
}

void forward(const MergeAttentionsForward& c, Queue queue) { launch_rows<MergeKernel>(c, queue); }
void backward(const MergeAttentionsBackward& c, Queue queue) { launch_rows<MergeBackwardKernel>(c, queue); }

}  // namespace

const MergeAttentionsKernels merge_attentions_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
