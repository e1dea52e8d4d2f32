#include <cmath>
#include <limits>

#include "ops/memory_efficient_attention/attention_problem.h"
#include "ops/memory_efficient_attention/merge_attentions_kernels.h"
#include "runtime/parallel.h"

namespace demi {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

int64_t lse_index(const MergeLayout& l, int64_t row) {
    const int64_t h = row % l.heads, t = row / l.heads % l.tokens, b = row / l.heads / l.tokens;
    return (b * l.heads + h) * l.tokens + t;
}

template <class F> void for_each_row(const MergeLayout& layout, F&& fn) {
    parallel_ranges(layout.rows(), 64, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) fn(row);
    });
}

// exp(lse_i - lse) of one row's parts. Where lse has lost the digits that this needs,
// sums of the parts say it.
template <class L> class PartWeights {
  public:
    PartWeights(const std::vector<Tensor>& lses, int64_t at, double lse, double odd)
        : lses_(lses), at_(at), top_(lse) {
        if (!(std::fabs(lse) >= odd) || std::isinf(lse)) return;
        top_ = kMinusInfinity;
        sum_ = 0;
        for (const Tensor& x : lses) top_ = std::fmax(top_, value(x));
        for (const Tensor& x : lses) sum_ += std::exp(value(x) - top_);
    }
    double operator()(size_t i) const { return std::exp(value(lses_[i]) - top_) / sum_; }

  private:
    double value(const Tensor& x) const { return static_cast<double>(x.data<L>()[at_]); }
    const std::vector<Tensor>& lses_;
    int64_t at_;
    double top_, sum_ = 1;
};

template <class T, class L>
void forward_rows(const MergeLayout& l, const std::vector<Tensor>& outs, const std::vector<Tensor>& lses,
                  Tensor out, Tensor lse) {
    T* y = out.mutable_data<T>();
    L* logs = lse.mutable_data<L>();
    for_each_row(l, [&](int64_t row) {
        const int64_t at = lse_index(l, row);
        double top = kMinusInfinity, sum = 0;
        for (const Tensor& x : lses) top = std::fmax(top, static_cast<double>(x.data<L>()[at]));
        for (const Tensor& x : lses)
            if (top > kMinusInfinity) sum += std::exp(static_cast<double>(x.data<L>()[at]) - top);
        const double total = sum == 0 ? kMinusInfinity : top + std::log(sum);
        logs[at] = static_cast<L>(total);
        const PartWeights<L> weights(lses, at, total, kAttentionOddLseF64);
        for (int64_t c = 0; c < l.size; ++c) {
            double value = 0;
            for (size_t i = 0; i < outs.size() && sum != 0; ++i) {
                const double w = weights(i);
                if (w != 0) value += w * static_cast<double>(outs[i].data<T>()[row * l.size + c]);
            }
            y[row * l.size + c] = T(static_cast<compute_t<T>>(value));
        }
    });
}

template <class T, class L>
void backward_rows(const MergeLayout& l, const std::vector<Tensor>& outs, const std::vector<Tensor>& lses,
                   const Tensor& out, const Tensor& lse, const Tensor& grad, const Tensor& grad_lse,
                   std::vector<Tensor>& grads) {
    const size_t parts = outs.size();
    std::vector<T*> d_out(parts);
    std::vector<L*> d_lse(parts);
    for (size_t i = 0; i < parts; ++i) {
        d_out[i] = grads[2 * i].defined() ? grads[2 * i].mutable_data<T>() : nullptr;
        d_lse[i] = grads[2 * i + 1].defined() ? grads[2 * i + 1].mutable_data<L>() : nullptr;
    }
    const T* g = grad.defined() ? grad.data<T>() : nullptr;
    for_each_row(l, [&](int64_t row) {
        const int64_t at = lse_index(l, row);
        const double total = static_cast<double>(lse.data<L>()[at]);
        constexpr double kOdd = sizeof(L) == 8 ? kAttentionOddLseF64 : static_cast<double>(kAttentionOddLse);
        const PartWeights<L> weights(lses, at, total, kOdd);
        for (size_t i = 0; i < parts; ++i) {
            const double part = static_cast<double>(lses[i].data<L>()[at]);
            const double w = total == kMinusInfinity || part == kMinusInfinity ? 0 : weights(i);
            double sum = grad_lse.defined() ? static_cast<double>(grad_lse.data<L>()[at]) : 0;
            for (int64_t c = 0; c < l.size; ++c) {
                const int64_t e = row * l.size + c;
                const double gradient = g != nullptr ? static_cast<double>(g[e]) : 0;
                if (w != 0)
                    sum += gradient * (static_cast<double>(outs[i].data<T>()[e]) -
                                       static_cast<double>(out.data<T>()[e]));
                if (d_out[i] != nullptr)
                    d_out[i][e] = T(static_cast<compute_t<T>>(w == 0 ? 0 : w * gradient));
            }
            if (d_lse[i] != nullptr) d_lse[i][at] = static_cast<L>(w == 0 ? 0 : w * sum);
        }
    });
}

// fn<T, L>() with T the type of out and L that of the log-sum-exp.
template <class F> void dispatch(DType dtype, F&& fn) {
    dispatch_float(dtype, "merge_attentions", [&]<class T>() { fn.template operator()<T, compute_t<T>>(); });
}

void forward(const MergeLayout& layout, const std::vector<Tensor>& outs, const std::vector<Tensor>& lses,
             Tensor out, Tensor lse) {
    dispatch(out.dtype(), [&]<class T, class L>() { forward_rows<T, L>(layout, outs, lses, out, lse); });
}

void backward(const MergeLayout& layout, const std::vector<Tensor>& outs, const std::vector<Tensor>& lses,
              const Tensor& out, const Tensor& lse, const Tensor& grad, const Tensor& grad_lse,
              std::vector<Tensor>& grads) {
    dispatch(out.dtype(), [&]<class T, class L>() {
        backward_rows<T, L>(layout, outs, lses, out, lse, grad, grad_lse, grads);
    });
}

}  // namespace

const MergeAttentionsKernels merge_attentions_cpu{forward, backward};

}  // namespace demi
